"""TV304: finds updates that are lost to rounding because they are small beside the weights."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torchvitals.builtin.parts.harm import harm_since
from torchvitals.builtin.parts.middle import median
from torchvitals.builtin.parts.ratios import settled
from torchvitals.builtin.parts.rounding import Lost, lost
from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.window import Window

WHOLE = 0.55
"""RMS change of the entries that did change, over weight, resolution and root of their share, from which they
moved by whole gaps. Measured over learning rates on digits and sentences: rounding at random and float32
copies have 0.6 to 1.2, rounding to nearest 0.1 to 0.4 under Adam and 0.3 to 0.8 under SGD.
"""


@dataclass(frozen=True, kw_only=True)
class UpdatesRoundedAway(Diagnostic):
    """Weights that stay the same bit for bit although they have a gradient and a learning rate.

    What it measures: of the entries that have a gradient, the share that the update left unchanged, over all
    parameters in bfloat16 or float16, at each of the last `looks` looks with a settled learning rate.

    Why it matters: an update below 2^-9 of the weight is always lost in bfloat16 (2^-12 in float16), and a
    usual update is 2^-10. However long one waits, nothing adds up.

    When it is wrong: optimizers that round at random, that keep what was lost for later, or that hold the
    true weights in float32 leave most entries unchanged and are right on average. They are known by what did
    change: it moved by whole gaps between numbers, far more than an update. Such a run is noted only, unless
    its loss stands still. Under SGD, whose updates differ much in size, moderate losses look the same and are
    noted only, too. Warm-ups and the end of a decay are left out, and parameters that no optimizer holds. In
    float32 it is a note: there the learning rate is too small.

    What to try: weights in float32 under autocast, an optimizer with float32 master copies, stochastic
    rounding, a larger learning rate.

    Source: rounding to nearest loses what is under half a gap; half a gap is between 1/4 and 1/2 of the
    resolution times the weight.
    """

    code: ClassVar[str] = "TV304"
    name: ClassVar[str] = "updates-rounded-away"
    needs: ClassVar[frozenset[str]] = frozenset({"parameter", "update"})
    ranges: ClassVar = {"share": (0.01, 1), "most": (0.01, 1), "looks": (1, 64)}

    share: float = 0.5
    """unchanged entries of all that have a gradient, from which a run suffers; in [0.01, 1]"""
    most: float = 0.95
    """the same from which it is CRITICAL, and a note in float32; in [0.01, 1]"""
    looks: int = 16
    """looks in a row that must agree; what is kept for later needs some to come back; 1 to 64"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        finite = window.finite
        looks = settled(finite, finite.looks("parameter", "update"))
        for coarse, limit in ((True, self.share), (False, self.most)):
            streak: list[Lost] = []
            for look in reversed(looks):
                found = lost(look, coarse=coarse)
                if found is None or found.share <= limit:
                    break
                streak.insert(0, found)
            if len(streak) >= self.looks:
                yield self._finding(
                    streak,
                    stalled=harm_since(window, streak[0].step, window.latest.step) is not None,
                    coarse=coarse,
                )
                return

    def _finding(self, streak: list[Lost], *, stalled: bool, coarse: bool) -> Finding:
        share = median([x.share for x in streak])
        by_gaps = median([x.gaps for x in streak[-self.looks // 2 :]]) >= WHOLE
        severity = Severity.CRITICAL if share > self.most else Severity.WARNING
        if not coarse or (by_gaps and not stalled):
            severity = Severity.INFO
        names = streak[-1].by_name
        return self.finding(
            severity,
            where=tuple(sorted((n for n in names if names[n] > self.share), key=lambda n: -names[n])),
            since=streak[0].step,
            message=f"{100 * share:.0f} % of the entries with a gradient were not changed by the update: "
            "it is below what their number format can tell apart.",
            cause="weights in a short number format" if coarse else "learning rate too small",
            evidence={
                "share_unchanged": share,
                "gaps_moved": streak[-1].gaps,
                "loss_stands_still": str(stalled).lower(),
            },
            remedies=_remedies(coarse=coarse),
        )


def _remedies(*, coarse: bool) -> tuple[Remedy, ...]:
    faster = Remedy("Raise the learning rate.")
    if not coarse:
        return (faster,)
    return (
        Remedy("Keep the weights in float32 and compute under autocast.", ("trainer.precision=bf16-mixed",)),
        Remedy("Use an optimizer with float32 master copies, or with stochastic rounding."),
        faster,
    )
