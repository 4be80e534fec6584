"""What a probe hands over, still on its device, and the one copy per device that brings it home."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torchvitals.core.tables import Table


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Rows of a table to be: what the host knows of each, and numbers and bits that are still on a device."""

    kind: str
    names: tuple[str, ...]
    known: Mapping[str, Sequence[float] | Sequence[str]] = field(default_factory=dict)
    """statistics that needed no measuring, one entry a row"""
    statistics: tuple[str, ...] = ()
    values: Tensor | None = None
    """float64, shape (rows, statistics)"""
    units: Mapping[str, Sequence[Tensor]] = field(default_factory=dict)
    """bool tensors of shape (units,), one a row"""

    def without(self, names: Container[str]) -> "Measurement":
        """The rows that have other names."""
        left = [i for i, name in enumerate(self.names) if name not in names]
        if len(left) == len(self.names):
            return self
        # Row by row: an index would be copied to the device first.
        kept = [self.values[i] for i in left] if self.values is not None else []
        return replace(
            self,
            names=tuple(self.names[i] for i in left),
            known={key: [column[i] for i in left] for key, column in self.known.items()},  # type: ignore[misc]
            values=torch.stack(kept) if kept else None,
            units={key: [rows[i] for i in left] for key, rows in self.units.items()},
        )


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a measurement; `stacked` makes measurements of many."""

    name: str
    known: Mapping[str, float | str]
    values: Tensor
    units: Mapping[str, Tensor] = field(default_factory=dict)


def stacked(kind: str, rows: Sequence[Row], statistics: tuple[str, ...]) -> list[Measurement]:
    """As few measurements as can be: rows of one device together, the n-th row of a name in the n-th."""
    groups: dict[Any, list[Row]] = {}
    seen: dict[str, int] = {}
    for row in rows:
        seen[row.name] = seen.get(row.name, 0) + 1
        groups.setdefault((seen[row.name], row.values.device), []).append(row)
    return [
        Measurement(
            kind=kind,
            names=tuple(row.name for row in group),
            known={key: [row.known[key] for row in group] for key in group[0].known},  # type: ignore[misc]
            statistics=statistics,
            values=torch.stack([row.values for row in group]),
            units={key: [row.units[key] for row in group] for key in group[0].units},
        )
        for group in groups.values()
    ]


class Readback:
    """Measurements and scalars on their way to the host: one buffer per device, copied without waiting."""

    def __init__(self, measurements: Sequence[Measurement], scalars: Mapping[str, Tensor]) -> None:
        self._measurements = measurements
        self._scalars = tuple(scalars)
        # Numbers before bits, so that every number lies aligned in its buffer.
        parts = [m.values.reshape(-1) for m in measurements if m.values is not None]
        parts += [scalar.detach().double().reshape(1) for scalar in scalars.values()]
        parts += [bits for m in measurements for rows in m.units.values() for bits in rows]
        self._parts = parts
        away = dict.fromkeys(part.device for part in parts if part.device.type != "cpu")
        self._copies = {d: _Copy([part for part in parts if part.device == d]) for d in away}

    def ready(self) -> bool:
        """Whether reading would not wait for a device."""
        return all(copy.ready() for copy in self._copies.values())

    def read(self) -> tuple[dict[str, Table], dict[str, float]]:
        """Tables by kind, rows of the same name merged, and the scalars."""
        landed = {device: iter(copy.landed()) for device, copy in self._copies.items()}
        # On the CPU there is nothing to copy: what was measured belongs to nobody else.
        chunks = (next(landed[p.device]) if p.device in landed else p.numpy() for p in self._parts)
        values = [next(chunks) if m.values is not None else np.empty(0) for m in self._measurements]
        scalars = {name: float(next(chunks)[0]) for name in self._scalars}
        units = [{k: tuple(next(chunks) for _ in v) for k, v in m.units.items()} for m in self._measurements]
        tables: dict[str, Table] = {}
        for measurement, numbers, bits in zip(self._measurements, values, units, strict=True):
            table = _table(measurement, numbers, bits)
            kind = measurement.kind
            tables[kind] = tables[kind].merge(table) if kind in tables else table
        return tables, scalars


class _Copy:
    """All parts of one device, on their way in one buffer."""

    def __init__(self, parts: Sequence[Tensor]) -> None:
        self._layout = [(part.shape[0], part.dtype) for part in parts]
        packed = torch.cat([part.contiguous().view(torch.uint8) for part in parts])
        if packed.is_cuda:
            with torch.cuda.device(packed.device):  # an event is of the device that is current
                self._host = torch.empty_like(packed, device="cpu", pin_memory=True)
                self._host.copy_(packed, non_blocking=True)
                self._event = torch.cuda.Event()
                self._event.record()
        else:
            self._host, self._event = packed.cpu(), None

    def ready(self) -> bool:
        return self._event is None or self._event.query()

    def landed(self) -> list[np.ndarray]:
        if self._event is not None:
            self._event.synchronize()
        buffer, start, chunks = self._host.numpy(), 0, []
        for length, dtype in self._layout:
            width = np.dtype(np.float64 if dtype is torch.float64 else np.bool_)
            stop = start + length * width.itemsize
            chunks.append(buffer[start:stop].view(width))
            start = stop
        return chunks


def _table(measurement: Measurement, numbers: np.ndarray, bits: dict[str, tuple[np.ndarray, ...]]) -> Table:
    known = {k: np.asarray(v) for k, v in measurement.known.items()}
    columns = {k: v if v.dtype.kind == "U" else v.astype(np.float64) for k, v in known.items()}
    grid = numbers.reshape(len(measurement.names), len(measurement.statistics))
    columns |= {name: grid[:, i].copy() for i, name in enumerate(measurement.statistics)}
    return Table(measurement.kind, measurement.names, columns, bits)
