"""The one container of measurements: rows are sites or parameters, columns are statistics that merge."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
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
    """Where the two cannot be told to be the same units, all count as set: nobody is accused by mistake."""
    if len(ours) != len(theirs):
        return np.ones(max(len(ours), len(theirs)), bool)
    return ours | theirs


def _both(ours: Bits, theirs: Bits) -> Bits:
    """Where the two cannot be told to be the same units, none counts as set: nobody is accused by mistake."""
    if len(ours) != len(theirs):
        return np.zeros(max(len(ours), len(theirs)), bool)
    return ours & theirs


MERGES: Mapping[str, Callable[[Any, Any], Any]] = {
    # counted or summed over entries
    "count": np.add,  # entries, finite or not
    "nonfinite": np.add,  # entries that are NaN or Inf
    "sum": np.add,  # over the finite entries
    "sum_sq": np.add,  # over the finite entries
    "spread": np.add,  # squared deviations of the entries from their mean over the samples of the micro-batch
    "freedom": np.add,  # degrees of freedom of `spread`: (samples - 1) x entries of a sample
    "saturated": np.add,  # entries where a bounded activation is flat
    "unchanged": np.add,  # entries that have a gradient and were not changed by the update, bit for bit
    "idle": np.add,  # entries whose gradient is exactly 0
    "positions": np.add,  # sample positions (batch x time x space) at which each unit was looked at
    "incoming_sq": np.add,  # squared norm of what one backward pass brought to a parameter
    "dropped": np.add,  # gradients that were thrown away before an optimizer consumed them
    "loss_sum": np.add,  # mean loss of a call times its targets
    "target_sum": np.add,
    "target_sq": np.add,
    "prior": np.add,  # entropy of the batch's classes in nats, times its targets
    "early_sq": np.add,  # squared norm of the gradient by the first eighth of a sequence
    "late_sq": np.add,  # the same of the last eighth
    "shift_sq": np.add,  # squared distances of running means from a batch's, in the batch's deviations
    "stretch_sq": np.add,  # squared logarithms of running variances over a batch's
    # extremes
    "abs_max": np.maximum,  # over the finite entries
    "low": np.minimum,  # over the finite entries
    "high": np.maximum,  # over the finite entries
    "target_low": np.minimum,
    "target_high": np.maximum,
    "limit": np.maximum,  # largest finite number of the tensor's dtype
    "resolution": np.maximum,  # gap between 1 and the next number of the tensor's dtype
    "first_bad": np.minimum,  # first sample with a non-finite entry: batch * ROWS + row, or NONE_BAD
    "first_step": np.minimum,  # first step whose loss was not finite on that rank, or NONE_BAD
    "rows": np.maximum,  # units of a weight matrix
    "symmetric_rows": np.maximum,  # of these, how many are twins of their neighbour in weight and gradient
    "fan_in": np.maximum,  # inputs of each unit of a weight matrix, 0 for other parameters
    "top_column": np.maximum,  # largest part of `spread` that one column of a matrix has, in [0, 1]
    "row_error": np.maximum,  # largest distance of a row's sum from 1
    "classes": np.maximum,  # number of classes that a loss function tells apart, else 0
    "steps": np.maximum,  # longest sequence that a recurrent layer read
    "samples": np.minimum,  # fewest values of a channel that a normalisation had statistics of
    "momentum": np.maximum,  # weight of a batch in running statistics
    "axis": np.maximum,  # dimension of a softmax, -1 where there is none
    # answers to a question, 0 or 1
    "trainable": np.maximum,  # the parameter requires a gradient
    "held": np.maximum,  # an optimizer holds it, or no optimizer is known
    "registered": np.maximum,  # it is one of the model's parameters
    "executed": np.maximum,  # its module ran with gradients on
    "reached": np.maximum,  # the graph of the loss leads to it
    "unzeroed": np.maximum,  # its gradient was not emptied between two steps of its optimizer
    "broadcast": np.maximum,  # prediction and target of a loss function had different shapes
    "adjusted": np.maximum,  # a loss function was given weights, smoothing or ignored targets
    "training": np.maximum,  # the module was in training mode
    "moved": np.maximum,  # running statistics are others than at the first look
    "mixing": np.maximum,  # largest change of a sample's output when others change, over its scale
    "weights_follow": np.minimum,  # correlation of log weight and log count of a loss's classes, else -1
    "swapped": np.maximum,  # a view brought the prediction to the shape of its transpose
    "across": np.maximum,  # how far a model tells places along dimension 1 apart; -1 where nobody asked
    "batch": np.maximum,  # length of dimension 0 of what the model was given
    # one boolean per unit
    "fired": _either,  # the unit passed a gradient at some position
    "present": _either,  # the class was among the targets
    "dormant": _both,  # the unit's mean absolute output is at most 0.025 of its layer's
    # words
    "op": _same,  # what was called at the site, or the class of the parameter's module: "Linear", "relu", ...
    "after": _same,  # what made the prediction: "softmax", "sigmoid", ..., or ""
    "reduction": _same,  # of a loss function: "mean", "sum" or "none"
}
"""How each statistic of two disjoint sets of data becomes that of their union, declared in this one place."""

TEXTS = frozenset({"op", "after", "reduction"})
"""Statistics that are words."""


@dataclass(frozen=True, eq=False)
class Table:
    """What one kind of measurement gave at one step.

    `names` holds the rows in execution order. `columns` holds arrays of shape (rows,): float64, or text for
    `TEXTS`. `units` holds one `Bits` array per row. A row that was not measured is absent: never 0, never
    nan.
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

    def __getstate__(self) -> dict[str, Any]:
        """What was measured, without what was computed of it."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

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

    @cached_property
    def norm(self) -> np.ndarray:
        """Euclidean norm of each row's finite entries."""
        return np.sqrt(self["sum_sq"])

    @cached_property
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
