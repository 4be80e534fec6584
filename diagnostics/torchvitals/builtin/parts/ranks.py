"""The ranks of a look; without it a rank that was not measured would count as one that differs."""

from collections.abc import Iterable

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


def guilty(look: Snapshot, later: Iterable[Snapshot]) -> tuple[str, ...]:
    """Ranks on which something was not finite at a look before anything was averaged, if on others all was:
    as it was told at that look, or at the first one of those later that tells of ranks.
    """
    told = next((s for s in (look, *later) if "rank_forward" in s), None)
    if told is None:
        return ()
    table = told["rank_forward"]
    first = table["first_step"]
    bad = (first == first.min()) & (first <= look.step)
    if not bad.any() and told is look:
        bad = table["nonfinite"] > 0
    return tuple(n for n, is_bad in zip(table.names, bad, strict=True) if is_bad) if not bad.all() else ()


def unmerged(look: Snapshot) -> bool:
    """Whether there are several ranks, of whose forward passes that of the first alone was seen."""
    return look.scalars.get("ranks", 1.0) > 1 and "rank_forward" not in look


def _measured(table: Table) -> Table:
    """Without ranks that had no entry to measure: nothing is known of them."""
    known = table["count"] > 0
    return table if known.all() else table.take(np.flatnonzero(known))
