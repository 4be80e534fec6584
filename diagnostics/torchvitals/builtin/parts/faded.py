"""Sites at which samples could be told apart at the start and cannot any more."""

from collections.abc import Sequence

import numpy as np

from torchvitals.builtin.parts.feeders import named
from torchvitals.builtin.parts.scale import Scale
from torchvitals.core.snapshot import Snapshot

DECADES = 3.0
"""Powers of ten of the variance over samples that a site must have lost since the start."""
LOOKS = 3
"""Latest looks that must agree."""


def faded(looks: Sequence[Snapshot]) -> tuple[str, ...]:
    """Those of the whole net in execution order, each behind the module that feeds it; without the last site,
    whose outputs are alike wherever nothing is learned.
    """
    if len(looks) <= LOOKS:
        return ()
    start, *late = (_variances(look) for look in (looks[0], *looks[-LOOKS:]))
    fell = [
        site
        for site in list(late[-1])[:-1]
        if all(now[site] < start.get(site, 0.0) / 10**DECADES for now in late if site in now)
    ]
    return named(looks[-1], fell)


def _variances(look: Snapshot) -> dict[str, float]:
    scale = Scale.of(look, whole=True)
    return dict(zip(scale.sites, np.asarray(scale.variance).tolist(), strict=True))
