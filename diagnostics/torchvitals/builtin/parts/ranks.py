"""The ranks of a look; without it a rank that was not measured would count as one that differs."""

import numpy as np

from torchvitals.core.snapshot import Snapshot, remembered
from torchvitals.core.tables import Table


@remembered
def gradients(look: Snapshot) -> Table:
    """Each rank's own gradients."""
    return _measured(look["rank_gradient"])


@remembered
def checksums(look: Snapshot) -> Table:
    """Each rank's parameters."""
    return _measured(look["rank"])


def _measured(table: Table) -> Table:
    """Without ranks that had no entry to measure: nothing is known of them."""
    known = table["count"] > 0
    return table if known.all() else table.take(np.flatnonzero(known))
