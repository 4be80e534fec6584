"""TV207: finds gradient clipping that takes nearly all of every step, so that nothing is left to learn
with.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from torchvitals.builtin.parts.middle import median
from torchvitals.builtin.parts.profile import adaptive
from torchvitals.builtin.parts.progress import stands_still
from torchvitals.builtin.parts.smallness import USUAL
from torchvitals.builtin.parts.trivial import untaught
from torchvitals.builtin.parts.wiring import calm_looks, column
from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot, remembered
from torchvitals.core.window import Window

LONG = 24
"""Looks after which updates below the usual are too small for a net that has learned next to nothing."""


@dataclass(frozen=True, kw_only=True)
class AlwaysClipped(Diagnostic):
    """A clipping limit so low that the clipped steps no longer move the weights.

    What it measures: the clip coefficient, which is the norm of a parameter's gradient when the optimizer
    consumed it over the norm that the backward pass had brought, and the size of the true update over that of
    the weights, at looks from step `warm_up` on. After 24 looks updates below 1e-4 are small enough for a net
    that is at most a tenth better than a constant prediction.

    Why it matters: plain gradient descent under a limit that always bites takes steps of lr times the limit,
    whatever the gradient: where both are small the net stays where it is.

    When it is wrong: clipping at every step is common and healthy. It is accused only where it takes more
    than nine tenths nearly always, *and* the weights hardly move, *and* the loss stands still. Optimizers
    that rescale each parameter, such as Adam, undo a constant factor and are left alone. Under a gradient
    scaler the coefficient is read in the way that speaks for the run.

    What to try: raise the limit to the median of the unclipped norm, or find out why gradients are so large:
    unscaled targets, a loss that is summed and not averaged.

    Source: Pascanu et al. 2013 (arXiv:1211.5063), who set the limit at 0.5 to 10 times the usual norm.
    """

    code: ClassVar[str] = "TV207"
    name: ClassVar[str] = "always-clipped"
    needs: ClassVar[frozenset[str]] = frozenset({"witness", "update", "parameter"})
    ranges: ClassVar = {
        "max_coefficient": (1e-6, 1),
        "min_share": (0.5, 1),
        "max_ratio": (0, 1),
        "looks": (9, 64),
        "warm_up": (0, 1e9),
    }

    max_coefficient: float = 0.1
    """part of the gradient's norm that clipping leaves, below which it bites; in [1e-6, 1]"""
    min_share: float = 0.95
    """share of looks at which it has to bite; in [0.5, 1]"""
    max_ratio: float = 1e-5
    """norm of the update over that of the weights below which nothing moves; in [0, 1]; 10,000 such steps
    change the weights by a tenth at most
    """
    looks: int = 20
    """fewest looks to judge; 9 to 64"""
    warm_up: int = 16
    """steps at the start that are forgiven; from 0"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        seen = [s for s in calm_looks(window, "witness", "update", "parameter") if s.step >= self.warm_up]
        if len(seen) < self.looks or all(map(adaptive, seen)):
            return
        looks = [s for s in seen if _coefficient(s) is not None]
        if len(looks) < self.looks or adaptive(looks[-1]):
            return
        left = np.array([_coefficient(s) for s in looks], float)
        bites = float(np.mean(left < self.max_coefficient))
        slow = len(looks) >= max(LONG, self.looks) and untaught(window)
        if bites <= self.min_share or not (slow or stands_still(looks)):
            return
        ratio = median([_ratio(s) for s in looks])
        if 0 < ratio < (max(USUAL, self.max_ratio) if slow else self.max_ratio):
            yield self._finding(looks, median(left), bites, ratio, slow=slow)

    def _finding(
        self, looks: Sequence[Snapshot], left: float, bites: float, ratio: float, *, slow: bool
    ) -> Finding:
        does = "has come to no more than a guess" if slow else "stands still"
        return self.finding(
            Severity.WARNING,
            where=("optimizer",),
            since=looks[0].step,
            message=f"Clipping leaves {left:.1g} of the gradient's norm at {bites:.0%} of the looks, and "
            f"updates are {ratio:.0e} of the weights while the loss {does}.",
            cause="clipping limit far below the gradient's usual norm",
            evidence={"clip_coefficient": left, "share_of_looks": bites, "update_ratio": ratio},
            remedies=(
                Remedy("Raise the clipping limit to about the usual norm of the gradient."),
                Remedy("Standardise inputs and targets, and average the loss over the batch."),
            ),
        )


@remembered
def _coefficient(look: Snapshot) -> float | None:
    """Part of the gradient that clipping left; None where several backward passes brought it.

    Where a scaler is at work the brought gradient may have been scaled or not: the milder reading counts.
    """
    brought, consumed = column(look, "witness", "incoming_sq"), column(look, "witness", "sum_sq")
    parts = [(consumed[n] / b) ** 0.5 for n, b in brought.items() if b > 0 and n in consumed]
    return max(parts) * max(1.0, look.scalars.get("loss_scale", 1.0)) if parts else None


@remembered
def _ratio(look: Snapshot) -> float:
    """Norm of all updates over the norm of the parameters that they changed."""
    update, parameter = column(look, "update", "sum_sq"), column(look, "parameter", "sum_sq")
    size = sum(parameter.get(name, 0.0) for name in update)
    return (sum(update.values()) / size) ** 0.5 if size > 0 else 0.0
