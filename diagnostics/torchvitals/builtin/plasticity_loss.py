"""TV105: finds nets that lose the use of more and more of their units as training goes on."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from torchvitals.builtin.parts.feeders import named
from torchvitals.builtin.parts.middle import median
from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot, remembered
from torchvitals.core.window import Window

RECENT = 3
"""Looks whose median counts as now, and as the start."""
WORSE = 1.5
"""Factor between the losses that are reached lately and those reached before that is no longer noise."""
LEAST_LOSSES = 9
"""Looks with a loss that make a comparison."""


@dataclass(frozen=True, kw_only=True)
class PlasticityLoss(Diagnostic):
    """A share of dormant units that rises all through the run, while the loss no longer gets where it was.

    What it measures: the share of units, over all layers with an unbounded activation, whose mean absolute
    output is at most 1/40 of their layer's; at the first three looks, the latest three, and as a rank
    correlation with time over the looks in between.

    Why it matters: a dormant unit adds nothing and learns next to nothing. A net that goes on to new tasks
    learns each more slowly than the one before, which in reinforcement learning is known as loss of
    plasticity.

    When it is wrong: a level means nothing, since nets are born with dormant units and learn with most of
    them. Nor does a rise that comes with a falling loss, which is a net that specialises, nor with one that
    stands still, which has lost nothing yet: these are notes. It is a warning where the better losses of late
    are 1.5 times those that were reached before.

    What to try: a lower learning rate, weight decay, an activation with a slope below zero, or resetting
    dormant units.

    Source: Sokar et al. 2023 (arXiv:2302.12902).
    """

    code: ClassVar[str] = "TV105"
    name: ClassVar[str] = "plasticity-loss"
    needs: ClassVar[frozenset[str]] = frozenset({"silence", "activation", "parameter"})
    ranges: ClassVar = {"rise": (0, 1), "trend": (-1, 1), "min_looks": (9, 80)}

    rise: float = 0.25
    """rise of the share of dormant units since the start that is told; in [0, 1]"""
    trend: float = 0.5
    """least rank correlation of the share with time; in [-1, 1]"""
    min_looks: int = 20
    """fewest looks that make a trend; 9 to 80"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        looks = window.finite.looks("silence")
        told = [(look, share) for look in looks if (share := _dormant(look)) is not None]
        if len(told) < self.min_looks:
            return
        known, shares = [look for look, _ in told], np.array([share for _, share in told])
        start, now = median(shares[:RECENT]), median(shares[-RECENT:])
        if now - start > self.rise and (trend := _rank_correlation(shares)) > self.trend:
            yield self._finding(known, shares, start, now, trend)

    def _finding(
        self, looks: Sequence[Snapshot], shares: np.ndarray, start: float, now: float, trend: float
    ) -> Finding:
        harmed = _worse(looks)
        rises = _by_site(looks)
        since = next(s.step for s, share in zip(looks, shares, strict=True) if share > start + self.rise / 2)
        return self.finding(
            Severity.WARNING if harmed else Severity.INFO,
            where=named(
                looks[-1], (s for s in sorted(rises, key=lambda s: -rises[s]) if rises[s] > self.rise)
            ),
            since=since,
            message=f"The share of dormant units has risen from {start:.0%} to {now:.0%}"
            + (", and the loss no longer gets where it was." if harmed else " while the loss does not rise."),
            cause="units fall asleep in training",
            evidence={
                "dormant_share": now,
                "dormant_share_at_start": start,
                "rank_correlation": trend,
                "loss_is_worse": str(harmed).lower(),
            },
            remedies=(
                Remedy("Lower the learning rate three- to tenfold."),
                Remedy("Keep units awake with a slope below zero.", ("activation=leaky_relu",)),
                Remedy("Decay the weights towards 0, or draw those of dormant units anew."),
            ),
        )


@remembered
def _dormant(look: Snapshot) -> float | None:
    """Share of all units; None where it was not measured."""
    table = look["silence"]
    if "dormant" not in table.units or not len(table):
        return None
    bits = table.units["dormant"]
    return float(sum(b.sum() for b in bits) / max(sum(len(b) for b in bits), 1))


def _by_site(looks: Sequence[Snapshot]) -> dict[str, float]:
    """Rise of each site's share between the first and the latest looks."""

    def shares(part: Sequence[Snapshot]) -> dict[str, float]:
        found: dict[str, list[float]] = {}
        for table in (look["silence"] for look in part):
            for site, bits in zip(table.names, table.units["dormant"], strict=True):
                found.setdefault(site, []).append(float(bits.mean()) if len(bits) else 0.0)
        return {site: median(values) for site, values in found.items()}

    start, now = shares(looks[:RECENT]), shares(looks[-RECENT:])
    return {site: now[site] - start[site] for site in now if site in start}


def _rank_correlation(values: np.ndarray) -> float:
    """Spearman's, with time; equal values share their rank."""
    if np.ptp(values) == 0:
        return 0.0
    below, same = (compare(values, values[:, None]).sum(1) for compare in (np.less, np.equal))
    ranks = below + same / 2
    return float(np.corrcoef(np.arange(len(values)), ranks)[0, 1])


def _worse(looks: Sequence[Snapshot]) -> bool:
    """Whether the better losses of the latest third are well above those of any third before it."""
    losses = [x for look in looks if (x := look.loss) is not None and math.isfinite(x)]
    third = len(losses) // 3
    if len(losses) < LEAST_LOSSES:
        return False
    good = [float(np.quantile(losses[i : i + third], 0.2)) for i in (0, third, len(losses) - third)]
    return good[-1] > WORSE * min(good[:-1]) > 0
