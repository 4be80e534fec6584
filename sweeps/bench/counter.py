"""What torch's dispatcher sees in a step: bytes, operations, and reads that would wait for a device."""

from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAITS = frozenset(
    {"_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "_unique2", "unique_dim"}
)
"""Operations whose result the host has to know before it can go on."""


class Counter(TorchDispatchMode):
    """Counts what runs while it is on. Views read nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.read = self.written = self.waits = self.calls = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.calls += 1
        self.waits += func.overloadpacket.__name__ in WAITS or _picks(func, args)
        if not func.is_view and func.overloadpacket.__name__ != "detach":
            self.read += sum(map(size, tree_leaves((args, kwargs))))
            self.written += sum(map(size, tree_leaves(out)))
        return out


def _picks(func: Any, args: Any) -> bool:
    """Whether a mask picks entries, so that their number has to be known."""
    if func.overloadpacket.__name__ != "index":
        return False
    return any(isinstance(i, Tensor) and i.dtype is torch.bool for i in args[1])


def size(x: Any) -> int:
    return x.numel() * x.element_size() if isinstance(x, Tensor) else 0


@dataclass
class Traffic:
    """Medians over steps of one kind, what the bare step does taken off."""

    read: list[int] = field(default_factory=list)
    written: list[int] = field(default_factory=list)
    waits: list[int] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)

    def less(self, bare: "Traffic") -> dict[str, float]:
        mine, theirs = self.medians(), bare.medians()
        return {name: mine[name] - theirs[name] for name in mine}

    def medians(self) -> dict[str, float]:
        return {name: float(median(values)) for name, values in vars(self).items()}
