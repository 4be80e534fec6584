"""What a re-run finds: the operation that gave the first number that is not finite, and what it was given."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Range:
    """What a tensor held, in a few numbers."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    low: float | None
    """smallest finite entry; None where there is none, or where entries are no real numbers"""
    high: float | None
    count: int
    nan: int
    inf: int

    @classmethod
    def of(cls, x: Tensor, name: str = "") -> "Range":
        numbers = x.detach()
        numbers = torch.view_as_real(numbers) if numbers.is_complex() else numbers
        finite, nan, inf = numbers, 0, 0
        if numbers.is_floating_point():
            numbers = numbers.double()
            finite = numbers[torch.isfinite(numbers)]
            nan, inf = int(torch.isnan(numbers).sum()), int(torch.isinf(numbers).sum())
        plain = finite.numel() > 0 and finite.dtype is not torch.bool
        low, high = (float(finite.min()), float(finite.max())) if plain else (None, None)
        dtype, shape = str(x.dtype).removeprefix("torch."), tuple(x.shape)
        return cls(name=name, dtype=dtype, shape=shape, low=low, high=high, count=x.numel(), nan=nan, inf=inf)

    @property
    def finite(self) -> bool:
        return not (self.nan or self.inf)


@dataclass(frozen=True, kw_only=True)
class Birth:
    """Where a NaN or Inf came up that was in nothing that it was computed from."""

    op: str
    """such as "aten.log"; for what was bad from the beginning its name, such as "parameter 0.weight" """
    phase: str
    """ "forward", "backward", "given", or "loss" for a gradient that came bad from an unknown loss"""
    node: str = ""
    """the node of autograd that ran, such as "SqrtBackward0"; "" in the forward pass"""
    module: str = ""
    """path of the module, or "" where the model itself or the loss ran"""
    module_class: str = ""
    source: str = ""
    """place and text of the line of the user's code; "" where there is none in between"""
    inputs: tuple[Range, ...] = ()
    outputs: tuple[Range, ...] = ()
    deliberate: bool = False
    """an infinity that the code asked for, such as that of a mask"""
    turned: str = ""
    """the first operation that made NaN of the Inf"""


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """What became of a step that was run again."""

    device: str
    weights: str
    """where they came from, in words"""
    loss: float | None
    """mean over the micro-batches; None where no loss could be computed"""
    by: str
    """what was backpropagated, in words"""
    birth: Birth | None
    notes: tuple[str, ...] = ()
