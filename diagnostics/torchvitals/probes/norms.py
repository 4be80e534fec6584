"""What probes of parameters share: sums of squares of many tensors in few passes."""

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor
from torch._C._nn import flatten_dense_tensors

from torchvitals.probes.base import Probe
from torchvitals.probes.measurement import Measurement
from torchvitals.probes.reduce import NARROW, SMALL, TINY, exactly, host, limit, sums_hold


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row to be: a dense tensor under its name, and what is known of it besides its norm."""

    name: str
    x: Tensor
    known: Mapping[str, float | str] = field(default_factory=dict)
    """statistics that needed no measuring"""
    scale: Tensor | float | None = None
    """what `x` is a multiple of what is meant by"""


class NormProbe(Probe):
    """A probe whose rows are parameters: counts of non-finite entries, sums of squares and what it adds."""

    kind: ClassVar[str]
    adds: ClassVar[tuple[str, ...]] = ()
    """names of the numbers that `further` gives"""

    def start(self, subject, wanted) -> None:
        super().start(subject, wanted)
        self._blocks: list[Measurement] = []

    def keep(self, entries: Iterable[Entry]) -> None:
        """Measure now, hand over in `collect`. Tensors of one device and dtype share one fused pass."""
        groups: dict[object, list[Entry]] = {}
        for entry in entries:
            if entry.x.numel():
                groups.setdefault((entry.x.device, entry.x.dtype), []).append(entry)
        for group in groups.values():
            values = _norms([entry.x for entry in group])
            if any(entry.scale is not None for entry in group):
                values[:, 1] /= torch.stack([_squared(entry.scale, values) for entry in group])
            if self.adds:
                values = torch.cat([values, self.further(group)], dim=1)
            self._blocks.append(_measurement(self.kind, group, ("nonfinite", "sum_sq", *self.adds), values))

    def forget(self, names: Container[str]) -> None:
        """What was measured under these names does not count: it is about to be measured again."""
        if self._blocks:
            self._blocks = [left for block in self._blocks if (left := block.without(names)).names]

    def further(self, entries: list[Entry]) -> Tensor:
        """What the probe adds to entries of one device and dtype: float64, shape (entries, adds)."""
        raise NotImplementedError

    def keep_whole(self, parts: Mapping[str, Sequence[Tensor]]) -> bool:
        """Measure tensors on the CPU as one row a part, in as little time as can be, if all are finite;
        else do nothing. A pass over each of many small tensors costs far more than one over all of them.
        """
        totals = {name: _whole(tensors) for name, tensors in parts.items() if tensors}
        if not all(math.isfinite(total) for total in totals.values()):
            return False
        if totals:
            values = torch.tensor([[0.0, total] for total in totals.values()], dtype=torch.float64)
            self._blocks.append(
                Measurement(
                    kind=self.kind, names=tuple(totals), statistics=("nonfinite", "sum_sq"), values=values
                )
            )
        return True

    @property
    def found_bad(self) -> bool:
        """Whether a tensor on the CPU that was kept since the last `collect` holds a NaN or Inf."""
        for block in self._blocks:
            # What was measured as a whole is finite, and nothing is known of its rows.
            values = block.values if block.known else None
            if values is not None and values.is_cpu and values.numpy()[:, 0].any():
                return True
        return False

    def collect(self) -> Iterable[Measurement]:
        blocks, self._blocks = self._blocks, []
        return blocks


def _measurement(kind: str, entries: list[Entry], statistics: tuple[str, ...], values: Tensor) -> Measurement:
    known: dict[str, list] = {
        "count": [float(entry.x.numel()) for entry in entries],
        "limit": [limit(entries[0].x)] * len(entries),
        **{key: [entry.known[key] for entry in entries] for key in entries[0].known},
    }
    names = tuple(entry.name for entry in entries)
    return Measurement(kind=kind, names=names, known=known, statistics=statistics, values=values)


def _squared(scale: Tensor | float | None, like: Tensor) -> Tensor:
    scale = 1.0 if scale is None else scale
    if not isinstance(scale, Tensor):
        return torch.full((), float(scale) ** 2, dtype=torch.float64, device=like.device)
    return scale.detach().to(like.device, torch.float64, non_blocking=True).reshape(()).square()


def _whole(tensors: Sequence[Tensor]) -> float:
    """Sum of squares of all of them; NaN where they are not what can be summed so."""
    small: dict[torch.dtype, list[Tensor]] = {}
    total = 0.0
    for x in tensors:
        if x.device.type != "cpu" or x.is_sparse or x.is_complex() or x.dtype in NARROW:
            return math.nan
        if x.numel() > SMALL or not x.is_contiguous():
            total += _norm(x) ** 2
        else:
            small.setdefault(x.dtype, []).append(x)
    for group in small.values():
        total += _norm(flatten_dense_tensors(group)) ** 2
    return total


def _norm(x: Tensor) -> float:
    norm = host(torch.linalg.vector_norm(x))
    return norm if norm > TINY else host(torch.linalg.vector_norm(x, dtype=torch.float64))


def _norms(tensors: list[Tensor]) -> Tensor:
    """`nonfinite` and `sum_sq` of tensors of one device and dtype: shape (n, 2), float64.

    On the CPU, where looking is free, exact whatever they hold. On other devices the norms are summed in
    float64, in one fused pass, where only NaN and Inf can make them not finite: `nonfinite` is then 1 for
    "any".
    """
    if tensors[0].device.type != "cpu":
        return _on_device(tensors)
    wide = [x.float() for x in tensors] if tensors[0].dtype in NARROW else tensors
    squares = torch.stack(torch._foreach_norm(wide)).double().square()  # pyright: ignore[reportPrivateImportUsage]
    values = torch.stack([torch.zeros_like(squares), squares], dim=1)
    if not sums_hold(squares):
        for row, x in zip(values, tensors, strict=True):
            if not sums_hold(row[1]):
                row[:] = exactly(x.reshape(1, -1))[0, ::2]
    return values


def _on_device(tensors: list[Tensor]) -> Tensor:
    found = torch.stack(torch._foreach_norm(tensors, 2, torch.float64))  # pyright: ignore[reportPrivateImportUsage]
    bad = ~torch.isfinite(found)
    return torch.stack([bad.double(), torch.where(bad, 0.0, found * found)], dim=1)
