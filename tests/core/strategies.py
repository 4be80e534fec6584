"""Any table, snapshot and incident that can happen; without it laws would be tested on three examples."""

import math
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from torchvitals.core.finding import Incident, Remedy, Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.summary import Cost, Coverage, Summary
from torchvitals.core.tables import NONE_BAD, ROWS, Table

NAMES = tuple(f"layer{i}" for i in range(5))
WIDTH = 3
"""Units of every site here."""

finite = st.floats(allow_nan=False, allow_infinity=False)
any_float = st.floats(allow_nan=True, allow_infinity=True)
text = st.text(max_size=8)

entry = st.one_of(
    st.integers(-1000, 1000).map(float), st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 0.5])
)
"""Entries whose sums and squares are exact in float64, so that merging needs no tolerance."""
batch = st.lists(st.lists(entry, min_size=WIDTH, max_size=WIDTH), max_size=4)
"""Rows of samples; an empty one is a site that was not called."""


@dataclass(frozen=True)
class Data:
    """Batches by site: what a table is a summary of."""

    batches: dict[str, list[list[float]]]
    start: int = 0
    """number of the batch"""

    def table(self) -> Table:
        """The obvious twin of the probes: every statistic by its definition, in float64."""
        rows = {name: np.array(x, np.float64) for name, x in self.batches.items() if x}
        good = {name: x[np.isfinite(x)] for name, x in rows.items()}
        columns = {
            "count": [x.size for x in rows.values()],
            "nonfinite": [(~np.isfinite(x)).sum() for x in rows.values()],
            "sum": [x.sum() for x in good.values()],
            "sum_sq": [(x * x).sum() for x in good.values()],
            "abs_max": [abs(x).max(initial=0.0) for x in good.values()],
            "positions": [len(x) for x in rows.values()],
            "first_bad": [self._first_bad(x) for x in rows.values()],
        }
        numbers = {name: np.array(column, np.float64) for name, column in columns.items()}
        op = np.array(["relu"] * len(rows), str)
        return Table("site", tuple(rows), {**numbers, "op": op}, {"fired": tuple(map(_fired, rows.values()))})

    def _first_bad(self, x: np.ndarray) -> float:
        bad = np.flatnonzero(~np.isfinite(x).all(1))
        return self.start * ROWS + float(bad[0]) if len(bad) else NONE_BAD


def _fired(x: np.ndarray) -> np.ndarray:
    return np.any(x > 0, axis=0)


data = st.dictionaries(st.sampled_from(NAMES), batch).map(Data)


@st.composite
def tables(draw: st.DrawFn, kind: str = "site") -> Table:
    """Tables with any numbers in them, inf in a sum of squares included."""
    names = draw(st.lists(text, unique=True, max_size=4))
    column = st.lists(st.floats(allow_nan=False), min_size=len(names), max_size=len(names)).map(np.array)
    numbers = {name: draw(column).astype(np.float64) for name in ("count", "nonfinite", "sum", "sum_sq")}
    op = np.array(draw(st.lists(text.filter(_no_nul), min_size=len(names), max_size=len(names))), str)
    bits = st.lists(st.booleans(), max_size=20).map(lambda x: np.array(x, bool))
    units = tuple(draw(bits) for _ in names)
    return Table(kind, tuple(names), {**numbers, "op": op}, {"fired": units})


def _no_nul(word: str) -> bool:
    """numpy drops zero bytes at the end of a text; no operation is called so."""
    return "\0" not in word


snapshots = st.builds(
    Snapshot,
    st.integers(0, 10**9),
    st.dictionaries(st.sampled_from(["loss", "lr", "gradient_norm"]), any_float),
    st.dictionaries(text, text),
    st.fixed_dictionaries({}, optional={kind: tables(kind) for kind in ("gradient", "silence")}),
    due=st.booleans(),
)
incidents = st.builds(
    Incident,
    code=text,
    name=text,
    severity=st.sampled_from(Severity),
    where=st.lists(text).map(tuple),
    onset=st.integers(0),
    last_seen=st.integers(0),
    resolved=st.none() | st.integers(0),
    message=text,
    cause=text,
    evidence=st.dictionaries(
        text, st.one_of(st.floats(allow_nan=False), st.integers(), st.sampled_from(["nan", "inf"]), text)
    ),
    remedies=st.lists(st.builds(Remedy, text, st.lists(text).map(tuple)), max_size=2).map(tuple),
    explains=st.lists(text, max_size=2).map(tuple),
    explained_by=st.none() | text,
    now=text,
)
summaries = st.builds(
    Summary,
    verdict=st.sampled_from(["healthy", "suspect", "ill", "no data"]),
    incidents=st.lists(incidents, max_size=2).map(tuple),
    coverage=st.builds(
        Coverage,
        steps=st.integers(0),
        looks=st.integers(0),
        measured=st.dictionaries(text, st.integers(0)),
        blind=st.lists(text).map(tuple),
    ),
    cost=st.builds(Cost, monitor_seconds=finite, run_seconds=finite),
)
