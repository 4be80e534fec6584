"""What is measured of the output of a site and of the gradient that comes back to it, many at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchvitals.probes.activations import BOUNDED
from torchvitals.probes.measurement import Row
from torchvitals.probes.reduce import STATISTICS, host, summarise_each
from torchvitals.probes.variation import dormant_each, means_of_large, spread_each

COLUMNS = {
    "activation": (*STATISTICS, "spread", "freedom"),
    "activation_gradient": tuple(name for name in STATISTICS if name != "sum"),
    "saturation": ("saturated",),
    "silence": ("positions",),
}
"""Statistics that are measured of each kind, in order."""
ON_THE_WAY = "on_the_way"
"""Kind of gradients that are told only where there are no others."""
_NO_SUM = [STATISTICS.index(name) for name in COLUMNS["activation_gradient"]]
Placed = tuple[int, str, Row]
"""A row with its place in the order in which tensors were seen, and its kind."""
_KNOWN = {
    "activation": ("op", "count", "limit", "resolution"),
    "saturation": ("op", "count"),
    "silence": ("op",),
}


class Units(NamedTuple):
    """What is kept of a pre-activation until its output is there."""

    fired: Tensor
    positions: float
    dim: int


@dataclass(frozen=True)
class Output:
    """The output of a site."""

    place: int
    name: str
    known: dict[str, Any]
    x: Tensor
    ends: tuple[float, float] | None
    """of a bounded activation, where it saturates"""
    before: Units | None

    @property
    def like(self) -> Any:
        """Equal for outputs that can be measured together."""
        dim = self.before.dim if self.before is not None else None
        return self.x.shape, self.x.dtype, self.x.device, self.ends, dim

    def rows(self, group: Sequence[Any], xs: Tensor, wanted: frozenset[str]) -> Iterator[Placed]:
        """Rows of outputs that are `like` each other, stacked in `xs`."""
        tables: dict[str, Tensor] = {}
        still: Tensor | None = None
        if "activation" in wanted:
            means = means_of_large(xs)
            total = None if means is None else host(means.sum(dtype=torch.float64)) * xs.shape[1]
            summary = summarise_each(xs, total)
            tables["activation"] = torch.cat([summary, spread_each(xs, summary[:, 2], means)], dim=1)
        if self.ends is not None:
            tables["saturation"] = _saturated(xs, *self.ends)
        if self.before is not None:
            known = [seen.before.positions for seen in group if seen.before is not None]
            tables["silence"] = torch.tensor(known, dtype=torch.float64).reshape(-1, 1)
            still = dormant_each(xs, self.before.dim)
        for kind, values in tables.items():
            for i, seen in enumerate(group):
                units = {}
                if kind == "silence" and seen.before is not None and still is not None:
                    units = {"fired": seen.before.fired, "dormant": still[i]}
                known = {key: seen.known[key] for key in _KNOWN[kind]}
                yield seen.place, kind, Row(name=seen.name, known=known, values=values[i], units=units)


@dataclass(frozen=True)
class Gradient:
    """The gradient of the loss by the output of a site."""

    place: int
    name: str
    known: dict[str, Any]
    x: Tensor
    kind: str = "activation_gradient"

    @property
    def like(self) -> Any:
        return self.x.shape, self.x.dtype, self.x.device

    def rows(self, group: Sequence[Any], xs: Tensor, wanted: frozenset[str]) -> Iterator[Placed]:
        values = summarise_each(xs, 0.0)[:, _NO_SUM]
        for i, seen in enumerate(group):
            yield (
                seen.place,
                seen.kind,
                Row(name=seen.name, known=seen.known, values=values[i]),
            )


def ends_of(op: str, out: Tensor) -> tuple[float, float] | None:
    """The outputs at and beyond which a bounded activation is flat.

    A `hardtanh` may have any; autograd remembers them. One that ends at 0 is a `relu6`, which is silent there
    and not saturated.
    """
    if op != "hardtanh":
        return BOUNDED[op]
    low = getattr(out.grad_fn, "_saved_min_val", 0.0)
    return (low, getattr(out.grad_fn, "_saved_max_val", 0.0)) if low < 0 else None


def _saturated(xs: Tensor, low: float, high: float) -> Tensor:
    """Entries of each of the stacked tensors that are at an end or beyond: shape (n, 1), float64."""
    rows = xs.reshape(xs.shape[0], -1)
    return (torch.count_nonzero(rows <= low, 1) + torch.count_nonzero(rows >= high, 1)).double()[:, None]
