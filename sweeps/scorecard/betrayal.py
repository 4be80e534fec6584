"""The step at which the curve of the loss alone betrays a fault to somebody who knows the clean one."""

import math
from collections.abc import Sequence

import numpy as np

LAG = 0.25
"""Part of all that the clean twin improves by which the fault has to lag behind."""
STRETCH = 10
"""Steps for which it has to do so in the median."""


def betrayal(faulty: Sequence[float], clean: Sequence[float], *, since: int = 0) -> int | None:
    """First step from `since` on that betrays the fault; None where the loss never does.

    It does where the loss is not finite, or where over the next `STRETCH` steps its median excess over the
    clean twin's loss is more than `LAG` of what the twin improves in all.
    """
    steps = min(len(faulty), len(clean))
    bad = next((i for i in range(since, len(faulty)) if not math.isfinite(faulty[i])), None)
    f, c = np.array(faulty[:steps]), np.array(clean[:steps])
    gained = float(np.nanmedian(c[:STRETCH]) - np.nanmin(c)) if steps else 0.0
    if not gained > 0:
        return bad
    for step in range(since, steps - STRETCH + 1):
        if bad is not None and step >= bad:
            break
        excess = f[step : step + STRETCH] - c[step : step + STRETCH]
        if np.isfinite(excess).all() and np.median(excess) > LAG * gained:
            return step
    return bad
