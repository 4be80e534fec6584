"""The one container of measurements: rows are sites or parameters, columns are statistics that merge."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from torchvitals.core.errors import FieldError

Bits = np.ndarray
"""One boolean per unit, shape (units,)."""

ROWS = 2**20
"""Samples that a batch may hold for `first_bad` to tell batches apart."""
NONE_BAD = float(2**53)
"""`first_bad` of a tensor that is finite."""


def _same(ours: Any, _theirs: Any) -> Any:
    return ours


MERGES: Mapping[str, Callable[[Any, Any], Any]] = {
    # counted or summed over entries
    "count": np.add,  # entries, finite or not
    "nonfinite": np.add,  # entries that are NaN or Inf
    "sum": np.add,  # over the finite entries
    "sum_sq": np.add,  # over the finite entries
    "positions": np.add,  # sample positions (batch x time x space) at which each unit was looked at
    # extremes
    "abs_max": np.maximum,  # over the finite entries
    "limit": np.maximum,  # largest finite number of the tensor's dtype
    "first_bad": np.minimum,  # first sample with a non-finite entry: batch * ROWS + row, or NONE_BAD
    "rows": np.maximum,  # units of a weight matrix
    "symmetric_rows": np.maximum,  # of these, how many are twins of their neighbour in weight and gradient
    # one boolean per unit
    "fired": np.logical_or,  # the unit passed a gradient at some position
    # words
    "op": _same,  # what was called at the site: "Linear", "relu", ...
}
"""How each statistic of two disjoint sets of data becomes that of their union, declared in this one place."""


@dataclass(frozen=True, eq=False)
class Table:
    """What one kind of measurement gave at one step.

    `names` holds the rows in execution order. `columns` holds arrays of shape (rows,): float64, or text for
    `op`. `units` holds one `Bits` array per row. A row that was not measured is absent: never 0, never nan.
    """

    kind: str
    names: tuple[str, ...]
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    units: Mapping[str, tuple[Bits, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, column in (*self.columns.items(), *self.units.items()):
            if name not in MERGES:
                raise FieldError("statistic", name, f"one of {', '.join(MERGES)}")
            if len(column) != len(self.names):
                raise FieldError(
                    f"{self.kind}.{name}", f"{len(column)} entries", f"{len(self.names)}, one a row"
                )

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, statistic: str) -> np.ndarray:
        return self.columns[statistic]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def index(self, name: str) -> int:
        """Row number of `name`; raises `ValueError` when it was not measured."""
        return self.names.index(name)

    @property
    def norm(self) -> np.ndarray:
        """Euclidean norm of each row's finite entries."""
        return np.sqrt(self["sum_sq"])

    @property
    def rms(self) -> np.ndarray:
        """Root mean square of each row's finite entries; 0 for a row without one."""
        return np.sqrt(self["sum_sq"] / np.maximum(self["count"] - self["nonfinite"], 1))

    def take(self, rows: Iterable[int]) -> "Table":
        """The table of those rows, in that order."""
        keep = list(rows)
        return Table(
            self.kind,
            tuple(self.names[i] for i in keep),
            {name: column[keep] for name, column in self.columns.items()},
            {name: tuple(bits[i] for i in keep) for name, bits in self.units.items()},
        )

    def merge(self, other: "Table") -> "Table":
        """The table of both tables' data together: micro-batches, ranks and replay are this one operation."""
        theirs = {name: row for row, name in enumerate(other.names)}
        both = [row for row, name in enumerate(self.names) if name in theirs]
        match = [theirs[self.names[row]] for row in both]
        new = [row for name, row in theirs.items() if name not in set(self.names)]
        columns = {}
        for name, ours in self.columns.items():
            merged = ours.copy()
            merged[both] = MERGES[name](ours[both], other.columns[name][match])
            columns[name] = np.concatenate([merged, other.columns[name][new]])
        units = {}
        for name, ours in self.units.items():
            rows = list(ours)
            for mine, yours in zip(both, match, strict=True):
                rows[mine] = MERGES[name](ours[mine], other.units[name][yours])
            units[name] = tuple(rows) + tuple(other.units[name][row] for row in new)
        return Table(self.kind, self.names + tuple(other.names[row] for row in new), columns, units)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and texts; `from_dict` brings back an equal table."""
        return {
            "names": list(self.names),
            "columns": {name: column.tolist() for name, column in self.columns.items()},
            "units": {name: [_pack(bits) for bits in rows] for name, rows in self.units.items()},
        }

    @classmethod
    def from_dict(cls, kind: str, data: Mapping[str, Any]) -> "Table":
        columns = {name: np.asarray(column) for name, column in data["columns"].items()}
        numbers = {n: c if c.dtype.kind == "U" else c.astype(np.float64) for n, c in columns.items()}
        units = {name: tuple(_unpack(text) for text in rows) for name, rows in data["units"].items()}
        return cls(kind, tuple(data["names"]), numbers, units)


def _pack(bits: Bits) -> str:
    return f"{len(bits)}:{np.packbits(bits).tobytes().hex()}"


def _unpack(text: str) -> Bits:
    length, _, digits = text.partition(":")
    return np.unpackbits(np.frombuffer(bytes.fromhex(digits), np.uint8), count=int(length)).astype(bool)
