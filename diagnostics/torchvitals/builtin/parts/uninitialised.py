"""Parameters that hold what was in memory before them."""

import numpy as np

from torchvitals.builtin.parts.middle import median
from torchvitals.core.snapshot import Snapshot, remembered

TIMES = 1e4
"""Factor over the median of the others beyond which no initialisation puts a parameter."""
LEAST_RMS = 1e2
"""Root mean square below which it is not absurd in itself."""
LEAST_COUNT = 4
"""Entries below which a parameter may be a constant that somebody chose."""


@remembered
def uninitialised(look: Snapshot) -> dict[str, float]:
    """Parameters that are absurdly large, each with its size over the median of all that are not 0."""
    parameter = look["parameter"]
    rms = parameter.rms
    sized = np.flatnonzero((parameter["nonfinite"] == 0) & (parameter["count"] >= LEAST_COUNT) & (rms > 0))
    if len(sized) < 3:
        return {}
    usual = median(rms[sized])
    return {
        parameter.names[i]: float(rms[i] / usual) for i in sized if rms[i] > max(LEAST_RMS, TIMES * usual)
    }
