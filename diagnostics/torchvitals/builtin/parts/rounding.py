"""What the rounding of a number format takes away from updates."""

from dataclasses import dataclass

import numpy as np

from torchvitals.core.snapshot import Snapshot, remembered

COARSE = 2.0**-12
"""Resolution from which a number format is a short one: bfloat16 has 2^-7, float16 2^-10, float32 2^-23."""


@dataclass(frozen=True)
class Lost:
    """What rounding did to the updates of parameters of one resolution."""

    step: int
    share: float
    """entries with a gradient that did not change, of all that have one; in [0, 1]"""
    by_name: dict[str, float]
    gaps: float
    """RMS change of the entries that changed, over RMS of the weights, resolution and root of their share"""


@remembered
def lost(look: Snapshot, *, coarse: bool) -> Lost | None:
    """Of the parameters with a short (`coarse`) or with any other resolution; None where none was updated."""
    update, parameter = look["update"], look["parameter"]
    usable = (parameter["sum_sq"] > 0) & (parameter["held"] > 0)
    place = {name: i for i, name in enumerate(parameter.names) if usable[i]}
    live = update["count"] - update["idle"]
    rows = [
        i
        for i, name in enumerate(update.names)
        if live[i] > 0 and name in place and bool(update["resolution"][i] >= COARSE) == coarse
    ]
    if not rows:
        return None
    kept = update["unchanged"][rows]
    changed = max(float((live[rows] - kept).sum()), 1.0)
    moved = float(np.sqrt(update["sum_sq"][rows].sum() / changed))
    # Pooled, for the first steps of biases that start at 0 are many of their own gaps.
    held = [place[update.names[i]] for i in rows]
    gap = float(np.sqrt((parameter["sum_sq"][held] * update["resolution"][rows] ** 2).sum()))
    gap /= float(np.sqrt(parameter["count"][held].sum()))
    share = float(kept.sum() / live[rows].sum())
    return Lost(
        look.step,
        share,
        {update.names[i]: float(update["unchanged"][i] / live[i]) for i in rows},
        moved / gap / float(np.sqrt(max(1 - share, 1e-6))),
    )
