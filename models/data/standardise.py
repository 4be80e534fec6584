"""Without this file statistics of test examples could leak into training by way of the scaling."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Standardisation:
    """(values - mean) / std, fitted once on the training examples and then applied to all."""

    mean: Tensor
    std: Tensor

    @classmethod
    def fitted(cls, values: Tensor, *, over: Sequence[int]) -> "Standardisation":
        """Mean and population standard deviation over these axes; a constant feature is only centred."""
        std = values.std(dim=tuple(over), correction=0, keepdim=True)
        return cls(mean=values.mean(dim=tuple(over), keepdim=True), std=std.where(std > 0, 1.0))

    def __call__(self, values: Tensor) -> Tensor:
        return (values - self.mean) / self.std


def input_axes(x: Tensor) -> tuple[int, ...]:
    """The axes that share one mean: examples, and for images (N, C, H, W) also the pixels of a channel.

    Pixel by pixel, a corner that is dark in all pictures but one would be blown up to the square root of N.
    """
    return (0, 2, 3) if x.ndim == 4 else (0,)
