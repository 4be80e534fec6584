"""Whether a training gets on: what turns an oddity that it lives with into an illness."""

from collections.abc import Sequence

import numpy as np

from torchvitals.core.snapshot import Snapshot

LEAST_FALL = 0.02
"""Relative fall of the loss from one third of the looks to the next below which it stands still."""
LEAST_LOOKS = 3
"""Looks that a third must have."""


def stands_still(looks: Sequence[Snapshot]) -> bool:
    """Whether the loss has not halved since the first look, and fell no more in the latest third of looks.

    With fewer than nine looks, or where nobody told the loss, it is not known to stand still.
    """
    losses = [look.loss for look in looks if look.loss is not None and np.isfinite(look.loss)]
    third = len(losses) // 3
    if third < LEAST_LOOKS:
        return False
    before, now = float(np.median(losses[-2 * third : -third])), float(np.median(losses[-third:]))
    return now > (1 - LEAST_FALL) * before and now > losses[0] / 2
