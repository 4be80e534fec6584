"""Whether a training gets on: what turns an oddity that it lives with into an illness."""

import math
from collections.abc import Sequence

from torchvitals.builtin.parts.middle import median
from torchvitals.core.snapshot import Snapshot

LEAST_FALL = 0.02
"""Relative fall of the loss from one third of the looks to the next below which it stands still."""
LEAST_LOOKS = 3
"""Looks that a third must have."""


def stands_still(looks: Sequence[Snapshot]) -> bool:
    """Whether the loss has not halved since the first look, and fell no more in the latest third of looks.

    With fewer than nine looks, or where nobody told the loss, it is not known to stand still.
    """
    losses = [x for look in looks if (x := look.loss) is not None and math.isfinite(x)]
    third = len(losses) // 3
    if third < LEAST_LOOKS:
        return False
    now = median(losses[-third:])
    return now > losses[0] / 2 and now > (1 - LEAST_FALL) * median(losses[-2 * third : -third])
