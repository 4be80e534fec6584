"""TV601: finds replicas of one model whose parameters are no longer the same."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from torchvitals.builtin.parts.ranks import checksums
from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.window import Window


@dataclass(frozen=True, kw_only=True)
class ReplicaDivergence(Diagnostic):
    """Ranks that train copies of one model have different parameters.

    What it measures: at every look the number of parameters of each rank, their sum, their sum of squares
    and how many are not finite. Ranks differ where the counts do, or where a sum is off the median rank's by
    more than `tolerance` of the largest that it could be. It is CRITICAL after `looks` looks
    in a row.

    Why it matters: each rank trains a net of its own on its part of the data, and the one that is saved is
    one of them; nothing crashes and the loss looks normal.

    When it is wrong: methods that average the replicas every so many steps let them differ in between; once
    they have been seen equal again after they had differed, it is INFO. Sharded parameters are no replicas:
    their checksums must not be given to it. Two different sets of parameters with equal sums are
    overlooked.

    What to try: call the wrapped model and not the one inside, wrap after moving to the device, draw the
    weights from one seed or broadcast them, do on all ranks what is done on one (clipping, skipping).

    Source: data-parallel training averages gradients so that equal replicas stay equal (Li et al. 2020,
    arXiv:2006.15704); clipping on one rank only is the known case of a large language model (TrainCheck).
    """

    code: ClassVar[str] = "TV601"
    name: ClassVar[str] = "replica-divergence"
    needs: ClassVar[frozenset[str]] = frozenset({"rank"})
    ranges: ClassVar = {"tolerance": (0, 1), "looks": (1, 64)}

    tolerance: float = 1e-6
    """difference over sqrt(count x sum of squares), or over the sum of squares; in [0, 1]"""
    looks: int = 2
    """looks in a row that must agree; 1 to 64"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        looks = [look for look in window.looks("rank") if len(checksums(look)) > 1]
        apart = [bool(self._apart(look)) for look in looks]
        if not apart or not all(apart[-self.looks :]) or len(apart) < self.looks:
            return
        begin = len(apart) - (apart[::-1].index(False) if False in apart else len(apart))
        yield self._finding(looks, begin, averaged=any(apart[:begin]))

    def _apart(self, look: Snapshot) -> list[str]:
        """Ranks that differ from the median rank, the most different first; of two ranks always both."""
        table = checksums(look)
        off = _distance(look) > self.tolerance
        for name in ("count", "nonfinite"):
            off |= table[name] != np.sort(table[name])[(len(table) - 1) // 2]
        if off.any() and len(table) == 2:
            off[:] = True
        order = np.argsort(-_distance(look), kind="stable")
        return [table.names[i] for i in order if off[i]]

    def _finding(self, looks: list[Snapshot], begin: int, *, averaged: bool) -> Finding:
        ranks, distance = self._apart(looks[-1]), float(_distance(looks[-1]).max())
        born = begin == 0
        why = "replicas differ from the start" if born else "gradients are not the same on all ranks"
        return self.finding(
            Severity.INFO if averaged else Severity.CRITICAL,
            where=tuple(ranks),
            since=looks[begin].step,
            message=f"The parameters of {', '.join(ranks[:4])} are not those of the other ranks "
            f"(off by {distance:.1e} of their size).",
            cause="replicas are averaged now and then" if averaged else why,
            evidence={
                "ranks": len(checksums(looks[-1])),
                "ranks_apart": len(ranks),
                "relative_difference": distance,
            },
            remedies=(
                Remedy("Broadcast the weights of rank 0, or draw them from one seed on all ranks.")
                if born
                else Remedy("Call the wrapped model, and clip and skip on all ranks alike."),
            ),
        )


def _distance(look: Snapshot) -> np.ndarray:
    """How far each rank's two sums are from the median rank's, over their possible size; shape (ranks,)."""
    table = checksums(look)
    size = float(table["sum_sq"].max())
    if not 0 < size < np.inf:
        return np.zeros(len(table))
    scale = float(np.sqrt(table["count"].max()) * np.sqrt(size))
    middle = [np.sort(table[name])[(len(table) - 1) // 2] for name in ("sum", "sum_sq")]
    return np.maximum(np.abs(table["sum"] - middle[0]) / scale, np.abs(table["sum_sq"] - middle[1]) / size)
