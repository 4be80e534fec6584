"""Gradients along time: whether the beginning of a sequence can be learned from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from torchvitals.core.snapshot import Snapshot


@dataclass(frozen=True, kw_only=True)
class Forgetting:
    """A recurrent layer whose gradient fades on its way back through the time steps."""

    path: str
    op: str
    decades: float
    """powers of ten that the norm loses from the last eighth of the steps to the first; it is more at three
    looks of four
    """
    steps: int


def forgetting(looks: Sequence[Snapshot], *, decades: float) -> list[Forgetting]:
    """The layers of which this holds at three of four of these looks by more than so many decades, worst
    first.
    """
    tables = [look["memory"] for look in looks if "memory" in look]
    if not tables or len(tables) < len(looks):
        return []
    found = []
    for row, path in enumerate(tables[-1].names):
        seen = [(t, t.index(path)) for t in tables if path in t.names]
        lost = float(np.quantile([_lost(t["early_sq"][i], t["late_sq"][i]) for t, i in seen], 0.25))
        if len(seen) == len(tables) and lost > decades:
            op, steps = str(tables[-1]["op"][row]), int(tables[-1]["steps"][row])
            found.append(Forgetting(path=path, op=op, decades=lost, steps=steps))
    return sorted(found, key=lambda f: -f.decades)


def _lost(early: float, late: float) -> float:
    """Decades of the norm; where 0 came back all that float32 can hold was lost, and where 0 left nothing."""
    if not (0 < late < np.inf):
        return 0.0
    return float(np.log10(late / max(early, late * 1e-76)) / 2)
