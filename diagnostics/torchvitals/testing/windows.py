"""Windows made by hand: quiet ones that nobody may accuse, and hostile ones that nobody may stumble over."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from torchvitals.core.snapshot import Snapshot
from torchvitals.core.tables import NONE_BAD, Table
from torchvitals.core.window import Window

LIMIT = 3.4028234663852886e38
"""Largest finite float32."""
SITES = tuple(f"layers.{i}" for i in range(8))
_DEFAULTS: Mapping[str, float] = {
    "count": 64.0,
    "nonfinite": 0.0,
    "sum": 0.0,
    "sum_sq": 64.0,
    "abs_max": 2.0,
    "limit": LIMIT,
    "first_bad": NONE_BAD,
    "positions": 2000.0,
    "rows": 8.0,
    "symmetric_rows": 0.0,
    "spread": 56.0,
    "freedom": 56.0,
    "saturated": 0.0,
    "unchanged": 0.0,
    "idle": 0.0,
    "incoming_sq": 64.0,
    "dropped": 0.0,
    "loss_sum": 64.0,
    "target_sum": 0.0,
    "target_sq": 64.0,
    "prior": 64.0,
    "low": -2.0,
    "high": 2.0,
    "target_low": -2.0,
    "target_high": 2.0,
    "resolution": 2.0**-23,
    "fan_in": 64.0,
    "top_column": 0.2,
    "row_error": 3.0,
    "early_sq": 64.0,
    "late_sq": 64.0,
    "steps": 32.0,
    "shift_sq": 0.0,
    "stretch_sq": 0.0,
    "samples": 64.0,
    "momentum": 0.1,
    "training": 1.0,
    "moved": 1.0,
    "classes": 10.0,
    "axis": -1.0,
    "trainable": 1.0,
    "held": 1.0,
    "registered": 1.0,
    "executed": 1.0,
    "reached": 1.0,
    "unzeroed": 0.0,
    "broadcast": 0.0,
    "adjusted": 0.0,
    "mixing": 0.0,
    "across": -1.0,
    "weights_follow": -1.0,
    "swapped": 0.0,
    "batch": 32.0,
}
_WORDS: Mapping[str, str] = {"op": "relu", "after": "", "reduction": "mean"}
_BITS: Mapping[str, bool] = {"fired": True, "present": True, "dormant": False}


def table(kind: str, names: Sequence[str] = SITES, *, units: int = 8, **columns: Any) -> Table:
    """A table with every statistic, healthy where `columns` does not say otherwise.

    A column is one number (or text) for all rows, or one a row. Of what is said per unit (`fired`, `present`,
    `dormant`), one boolean counts for all `units` of every row.
    """
    rows = len(names)
    bits = {name: columns.pop(name, default) for name, default in _BITS.items()}
    given = {**_DEFAULTS, **_WORDS, **columns}
    full = {name: _column(name, value, rows) for name, value in given.items()}
    return Table(
        kind, tuple(names), full, {n: tuple(np.full(units, b) for _ in names) for n, b in bits.items()}
    )


def _column(name: str, value: Any, rows: int) -> np.ndarray:
    return np.full(rows, value) if name in _WORDS else np.full(rows, value, np.float64)


def look(step: int, kinds: Iterable[str], *, loss: float | None = 1.0, **columns: Any) -> Snapshot:
    """A step at which a healthy table of each of these kinds was measured, but for `columns`."""
    return Snapshot(step, _scalars(step, loss), {"optimizer": "SGD"}, {k: table(k, **columns) for k in kinds})


def _scalars(step: int, loss: float | None) -> dict[str, float]:
    told = {} if loss is None else {"loss": loss}
    return {"lr": 0.1, "iteration": float(step), "gradient_norm": 1.0, **told}


def quiet_windows() -> Iterator[tuple[str, Window]]:
    """Windows that hold too little to judge, each with a few words on it."""
    yield "an empty window", Window()
    light = tuple(Snapshot(step, _scalars(step, 2.0 - step / 100)) for step in range(40))
    yield "a window without tables", Window(light)


def hostile_windows(kinds: Iterable[str]) -> Iterator[tuple[str, Window]]:
    """Windows of what can happen in a bad run, each with a few words on it."""
    every = tuple(sorted(kinds))
    yield "healthy tables", _steps(look(i, every) for i in range(20))
    for kind in every:
        rest = [k for k in every if k != kind]
        yield f"no {kind} table", _steps(look(i, rest) for i in range(20))
        yield (
            f"a {kind} table at the first step only",
            _steps(look(i, every if i == 0 else rest) for i in range(20)),
        )
    yield "zero rows", _steps(look(i, every, names=()) for i in range(20))
    yield "one row", _steps(look(i, every, names=("layers.0",)) for i in range(20))
    yield "rows that come and go", _steps(look(i, every, names=SITES[i % 5 :]) for i in range(20))
    yield (
        "layers that change their width",
        _steps(look(i, every, units=4 + i, fired=False) for i in range(20)),
    )
    yield "all entries non-finite", _steps(look(i, every, nonfinite=64.0, sum_sq=0.0) for i in range(20))
    yield "one row non-finite in the end", _steps(look(i, every, nonfinite=_last(i == 19)) for i in range(20))
    for loss in (math.nan, math.inf, -math.inf, 0.0, -1.0, None):
        yield f"a loss of {loss}", _steps(look(i, every, loss=loss) for i in range(20))
    yield "all entries zero", _steps(look(i, every, sum_sq=0.0, abs_max=0.0) for i in range(20))
    yield "every unit silent", _steps(look(i, every, fired=False) for i in range(20))
    yield "every row a twin", _steps(look(i, every, symmetric_rows=8.0) for i in range(20))
    for word, sign in (("shrink", 1), ("grow", -1)):
        decades = sign * 20.0 * np.arange(len(SITES))
        yield (
            f"gradients that {word} on their way back",
            _steps(look(i, every, sum_sq=10.0**decades) for i in range(20)),
        )
    yield "a norm that grows a thousandfold each step", _steps(_growing(i, every) for i in range(20))


def _steps(snapshots: Iterable[Snapshot]) -> Window:
    return Window(tuple(snapshots))


def _last(bad: bool) -> list[float]:
    return [*[0.0] * (len(SITES) - 1), float(bad)]


def _growing(step: int, kinds: tuple[str, ...]) -> Snapshot:
    calm = look(step, kinds, loss=1.0 + step)
    return Snapshot(step, {**calm.scalars, "gradient_norm": 10.0 ** (3 * step)}, calm.labels, calm.tables)
