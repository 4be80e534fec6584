"""What probes of parameters share: sums of squares of many tensors in few passes."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor
from torch._C._nn import flatten_dense_tensors

from torchvitals.probes.base import Probe
from torchvitals.probes.measurement import Measurement
from torchvitals.probes.reduce import NARROW, dense, host, limit, summarise_exactly

SMALL = 2**14
"""Entries up to which copying a tensor beside others is cheaper than a pass of its own."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row to be: a tensor under its name, and what is known of it besides its norm."""

    name: str
    x: Tensor
    known: Mapping[str, float | str] = field(default_factory=dict)
    """statistics that needed no measuring"""
    counts: Tensor | None = None
    """further statistics, measured: float64, on the device of `x`"""


class NormProbe(Probe):
    """A probe whose rows are parameters: counts of non-finite entries, sums of squares and what it adds."""

    kind: ClassVar[str]
    adds: ClassVar[tuple[str, ...]] = ()
    """names of the numbers in `Entry.counts`"""

    def start(self, subject, wanted) -> None:
        super().start(subject, wanted)
        self._blocks: list[Measurement] = []

    def keep(self, entries: Iterable[Entry]) -> None:
        """Measure now, hand over in `collect`. Tensors of one device and dtype share one fused pass."""
        groups: dict[object, list[Entry]] = {}
        for entry in entries:
            if entry.x.numel():
                groups.setdefault((entry.x.device, entry.x.dtype), []).append(entry)
        self._blocks += [_norms(self.kind, group, self.adds) for group in groups.values()]

    def keep_whole(self, tensors: Sequence[Tensor]) -> bool:
        """Measure tensors on the CPU as one row, in as little time as can be, if all of them are finite; else
        do nothing. A pass over each of many small tensors costs far more than one over all of them.
        """
        small: dict[torch.dtype, list[Tensor]] = {}
        total = 0.0
        for x in tensors:
            if x.device.type != "cpu" or x.is_sparse or x.is_complex() or x.dtype in NARROW:
                return False
            if x.numel() > SMALL or not x.is_contiguous():
                total += host(torch.linalg.vector_norm(x)) ** 2
            else:
                small.setdefault(x.dtype, []).append(x)
        for group in small.values():
            total += host(torch.linalg.vector_norm(flatten_dense_tensors(group))) ** 2
        if not math.isfinite(total):
            return False
        if tensors:
            values = torch.tensor([[0.0, total]], dtype=torch.float64)
            self._blocks.append(
                Measurement(kind=self.kind, names=("all",), statistics=("nonfinite", "sum_sq"), values=values)
            )
        return True

    def collect(self) -> Iterable[Measurement]:
        blocks, self._blocks = self._blocks, []
        return blocks


def _norms(kind: str, entries: list[Entry], adds: tuple[str, ...]) -> Measurement:
    """Sums of squares of tensors of one device and dtype, in one fused pass.

    A norm that is not finite sends its tensor into a second, exact look on the CPU, where looking is free. On
    other devices the norms are summed in float64, where only NaN and Inf can make them so: `nonfinite` is
    then 1 for "any".
    """
    tensors = [dense(entry.x) for entry in entries]
    known: dict[str, list] = {
        "count": [float(x.numel()) for x in tensors],
        "limit": [limit(x) for x in tensors],
        **{key: [entry.known[key] for entry in entries] for key in entries[0].known},
    }
    values = _on_cpu(tensors) if tensors[0].device.type == "cpu" else _on_device(tensors)
    counts = [entry.counts for entry in entries if entry.counts is not None]
    return Measurement(
        kind=kind,
        names=tuple(entry.name for entry in entries),
        known=known,
        statistics=("nonfinite", "sum_sq", *adds),
        values=torch.cat([values, torch.stack(counts)], dim=1) if counts else values,
    )


def _on_cpu(tensors: list[Tensor]) -> Tensor:
    wide = [x.float() for x in tensors] if tensors[0].dtype in NARROW else tensors
    found = torch.stack(torch._foreach_norm(wide)).double()  # pyright: ignore[reportPrivateImportUsage]
    values = torch.stack([torch.zeros_like(found), found * found], dim=1)
    for i in (~torch.isfinite(values[:, 1])).numpy().nonzero()[0]:
        exact = summarise_exactly(tensors[i])
        values[i, 0], values[i, 1] = exact[0], exact[2]
    return values


def _on_device(tensors: list[Tensor]) -> Tensor:
    found = torch.stack(torch._foreach_norm(tensors, 2, torch.float64))  # pyright: ignore[reportPrivateImportUsage]
    bad = ~torch.isfinite(found)
    return torch.stack([bad.double(), torch.where(bad, 0.0, found * found)], dim=1)
