"""The one container of measurements: rows are sites or parameters, columns are statistics that merge."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from torchvitals.core.errors import FieldError

T = TypeVar("T")
Bits = np.ndarray
"""One boolean per unit, shape (units,)."""

ROWS = 2**20
"""Samples that a batch may hold for `first_bad` to tell batches apart."""
NONE_BAD = float(2**53)
"""`first_bad` of a tensor that is finite."""


def _same(ours: Any, _theirs: Any) -> Any:
    return ours


def _either(ours: Bits, theirs: Bits) -> Bits:
    """Where the two cannot be told to be the same units, all count as fired: nobody is accused by mistake."""
    if len(ours) != len(theirs):
        return np.ones(max(len(ours), len(theirs)), bool)
    return ours | theirs


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
    "fired": _either,  # the unit passed a gradient at some position
    # words
    "op": _same,  # what was called at the site: "Linear", "relu", ...
}
"""How each statistic of two disjoint sets of data becomes that of their union, declared in this one place."""

TEXTS = frozenset({"op"})
"""Statistics that are words."""


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
        if not isinstance(other, Table):
            return NotImplemented
        return self.kind == other.kind and self.to_dict() == other.to_dict()

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
        """The table of both tables' data together: micro-batches, ranks and replay are this one operation.

        A statistic that only one of them has is not known of both together, and is left out.
        """
        if not (self.names and other.names):
            return self if self.names else other
        theirs = {name: row for row, name in enumerate(other.names)}
        both = [row for row, name in enumerate(self.names) if name in theirs]
        match = [theirs[self.names[row]] for row in both]
        new = [row for name, row in theirs.items() if name not in set(self.names)]
        columns = {}
        for name, ours in _shared(self.columns, other.columns):
            merged = ours.copy()
            merged[both] = MERGES[name](ours[both], other.columns[name][match])
            columns[name] = np.concatenate([merged, other.columns[name][new]])
        units = {}
        for name, ours in _shared(self.units, other.units):
            rows = list(ours)
            for mine, yours in zip(both, match, strict=True):
                rows[mine] = MERGES[name](ours[mine], other.units[name][yours])
            units[name] = tuple(rows) + tuple(other.units[name][row] for row in new)
        return Table(self.kind, self.names + tuple(other.names[row] for row in new), columns, units)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and texts; `from_dict` brings back an equal table."""
        return {
            "names": list(self.names),
            "columns": {name: _plain(name, column) for name, column in self.columns.items()},
            "units": {name: [_pack(bits) for bits in rows] for name, rows in self.units.items()},
        }

    @classmethod
    def from_dict(cls, kind: str, data: Mapping[str, Any]) -> "Table":
        columns = {
            name: np.array(column, str) if name in TEXTS else np.array([float(x) for x in column], np.float64)
            for name, column in data["columns"].items()
        }
        units = {name: tuple(_unpack(text) for text in rows) for name, rows in data["units"].items()}
        return cls(kind, tuple(data["names"]), columns, units)


def _shared(ours: Mapping[str, T], theirs: Mapping[str, T]) -> list[tuple[str, T]]:
    return [(name, value) for name, value in ours.items() if name in theirs]


def _plain(name: str, column: np.ndarray) -> list[Any]:
    """JSON knows no inf, which a sum of squares can reach: it travels as the text that `float` reads."""
    if name in TEXTS or np.isfinite(column).all():
        return column.tolist()
    return [x if math.isfinite(x) else str(x) for x in column.tolist()]


def _pack(bits: Bits) -> str:
    return f"{len(bits)}:{np.packbits(bits).tobytes().hex()}"


def _unpack(text: str) -> Bits:
    length, _, digits = text.partition(":")
    return np.unpackbits(np.frombuffer(bytes.fromhex(digits), np.uint8), count=int(length)).astype(bool)
