"""TV403: finds a net that does no better than a constant prediction although it is being trained."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torchvitals.builtin.parts.chance import BLOCK, at_chance
from torchvitals.builtin.parts.curve import Curve
from torchvitals.builtin.parts.faded import faded
from torchvitals.builtin.parts.middle import median
from torchvitals.builtin.parts.progress import stands_still
from torchvitals.builtin.parts.trivial import trivial
from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.window import Window

WEIGHTED = ("Linear", "Conv", "Bilinear")
"""Beginnings of the modules that multiply by weights."""
STRAIGHT = (
    *WEIGHTED,
    "BatchNorm",
    "Dropout",
    "Flatten",
    "Identity",
    "AvgPool",
    "AdaptiveAvgPool",
    "Embedding",
)
"""Beginnings of the modules that leave straight what is straight."""
REMEDIES = (
    Remedy("Look at a few inputs with their labels: do they belong together?"),
    Remedy("Train on one small batch: its loss has to come close to 0."),
    Remedy("Change the learning rate tenfold up and down.", ("optimizer.lr=0.001",)),
)
BEND = (Remedy("Put an activation between the layers.", ("activation=relu", "init=he_normal")),)


@dataclass(frozen=True, kw_only=True)
class NotLearning(Diagnostic):
    """A loss that is, after a fair number of steps, no better than without looking at the input.

    What it measures: the loss of the best constant prediction, from the targets of the loss function's calls:
    the entropy of their classes (at most ln C), or their variance. Not learning means that no median of
    eight losses was ever below `share` of it beyond chance, that the latest 32 are not, that the loss does
    not fall, and that gradients arrive: INFO after `steps` / 3 steps, WARNING after `steps`. Where hidden
    sites have lost 99.9 % of the variance over samples that they had at the start, it is they that are named.

    Why it matters: it looks like patience is needed, but labels that do not belong to their inputs, a missing
    activation or a wrong learning rate do not mend themselves.

    When it is wrong: plateaus at the start of deep and recurrent nets and of algorithmic tasks can be longer
    than `steps`; the warning is resolved when they are left. Nothing is said while the learning rate warms
    up. A loss that falls significantly, however slowly, acquits. Where the loss is not a multiple of one
    loss function's value, or its targets move as the net learns, there is no such yardstick: a loss that
    stands still is then a mere note. Batches of fewer than five targets a class, sorted batches, class
    weights and label smoothing are compared with ln C, so that a learned class balance acquits there.

    What to try: check the pairing of inputs and labels, overfit one batch, put activations between the
    layers, try learning rates a decade apart.

    Source: entropy with the correction of Miller 1955. 192 steps are a convention: several times what a net
    needs to leave the level of a constant prediction on the small tasks of the suite.
    """

    code: ClassVar[str] = "TV403"
    name: ClassVar[str] = "not-learning"
    needs: ClassVar[frozenset[str]] = frozenset({"loss", "gradient", "activation", "parameter"})
    ranges: ClassVar = {"share": (0.5, 1), "steps": (24, 1_000_000_000)}

    share: float = 0.98
    """loss over that of a constant prediction below which something was learned; in [0.5, 1]"""
    steps: int = 192
    """steps after which it is a warning; from 24"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        curve = Curve.of(window)
        if curve.span < self.steps // 3 or len(curve) < 3 * BLOCK or _warms_up(curve) or not _trained(window):
            return
        bar = trivial(window)
        if bar is None:
            if curve.span >= self.steps and stands_still(window.looks("gradient")):
                yield self._note(curve)
        elif at_chance(curve, bar, share=self.share):
            yield self._finding(window, curve, bar)

    def blind(self, window: Window) -> str | None:
        curve = Curve.of(window)
        if curve.span < self.steps // 3 or trivial(window) is not None:
            return None
        return (
            "The loss is not that of one loss function, so nothing tells how good a constant prediction is."
        )

    def _note(self, curve: Curve) -> Finding:
        now = median(curve.values[-BLOCK:])
        return self.finding(
            Severity.INFO,
            where=("model",),
            since=int(curve.steps[0]),
            message=f"The loss has stood at about {now:.3g} for a while.",
            cause="unknown, since no loss function explains the loss",
            evidence={"loss": now, "first_loss": curve.early},
        )

    def _finding(self, window: Window, curve: Curve, bar: float) -> Finding:
        now, straight = median(curve.values[-BLOCK:]), _straight(window)
        why = "no activation between the layers"
        return self.finding(
            Severity.WARNING if curve.span >= self.steps else Severity.INFO,
            where=faded(window.finite.looks("activation")) or ("model",),
            since=int(curve.steps[0]),
            message=f"After {curve.span} steps the loss is {now:.3g}; "
            f"a constant prediction has {bar:.3g} without looking at the input.",
            cause=why if straight else "nothing learned: labels, architecture or learning rate",
            evidence={"loss": now, "trivial_loss": bar, "first_loss": curve.early, "steps": curve.span},
            remedies=(*BEND, *REMEDIES) if straight else REMEDIES,
        )


def _trained(window: Window) -> bool:
    """Whether gradients arrive: where they do not, the loss has no choice."""
    norms = [s.scalars["gradient_norm"] for s in window.snapshots[-BLOCK:] if "gradient_norm" in s.scalars]
    return any(0 < norm < math.inf for norm in norms)


def _warms_up(curve: Curve) -> bool:
    """Whether the learning rate has not yet come to its height."""
    return bool(curve.rates[-1] > 1.02 * curve.rates[-BLOCK:][0] and curve.rates[-1] >= curve.rates.max())


def _straight(window: Window) -> bool:
    """Whether two layers or more with weights were seen, and nothing that bends between them."""
    looks = window.looks("activation")
    ops = [str(op) for op in looks[-1]["activation"]["op"]] if looks else []
    weighted = sum(op.startswith(WEIGHTED) for op in ops)
    return weighted >= 2 and all(op.startswith(STRAIGHT) for op in ops)
