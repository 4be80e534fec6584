"""TV405: finds loss functions that are given what they do not take."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from torchvitals.builtin.parts.calls import CLASSES, calls
from torchvitals.builtin.parts.harm import harm_since
from torchvitals.builtin.parts.loss_rules import mismatches
from torchvitals.builtin.parts.mismatch import Mismatch
from torchvitals.core.finding import Finding, Remedy
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.window import Window


@dataclass(frozen=True, kw_only=True)
class LossMismatch(Diagnostic):
    """An output, a loss function and targets that do not go together.

    What it measures: each call of a loss function: what made its prediction, the shapes, the ranges of
    prediction and targets, the axis of a softmax, and the sign with which it enters the loss.

    Why it matters: torch computes a number all the same. A softmax before cross_entropy keeps the loss above
    1.46 for ten classes, a batch of shape (N, 1) against (N,) teaches the mean, nll_loss of raw logits falls
    for ever.

    When it is wrong: what is not wrong by itself is a note and becomes a warning only when the loss stands
    still: squared errors of probabilities (a proper score), a ReLU on the logits, a softmax under
    binary_cross_entropy. A sum instead of a mean, a class that never occurs, whole targets of a regression
    are notes whatever happens. A target that is one number may be broadcast, as least-squares GANs do.
    Autoencoders on pixels in [0, 1], soft targets and tanh outputs for targets in [-1, 1] are healthy.

    What to try: bare logits for cross_entropy and binary_cross_entropy_with_logits, a linear output for
    regression, one shape for prediction and target.

    Source: it follows from the definitions of the functions; a softmax taken twice has the floor
    ln(e + C - 1) - 1.
    """

    code: ClassVar[str] = "TV405"
    name: ClassVar[str] = "loss-mismatch"
    needs: ClassVar[frozenset[str]] = frozenset({"activation", "loss"})
    ranges: ClassVar = {"looks": (1, 64), "targets": (1, 1e6)}

    looks: int = 16
    """looks over which a class has to be missing before it is noted; 1 to 64"""
    targets: float = 20.0
    """targets a class, on average, that must have been seen for that; from 1"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        looks = window.finite.looks("loss") or window.looks("loss")[:1]
        if not looks:
            return
        stalled = harm_since(window, looks[0].step, looks[0].step) is not None
        found = [(call.name, m) for call in calls(looks[-1]) for m in mismatches(call)]
        found += [*_flipped(looks), *self._missing(looks)]
        if found:
            order = sorted(found, key=lambda f: -f[1].severity(stalled=stalled))
            yield self._finding(order, looks, stalled=stalled)

    def _missing(self, looks: Sequence[Snapshot]) -> Iterator[tuple[str, Mismatch]]:
        """Classes that no target ever named."""
        for name in dict.fromkeys(call.name for look in looks for call in calls(look)):
            seen = [c for look in looks for c in calls(look) if c.name == name and c.op in CLASSES]
            if len(seen) < self.looks or not seen[-1].present.size:
                continue
            if len({c.present.size for c in seen}) > 1:
                continue
            classes = seen[-1].present.size
            named = np.logical_or.reduce([c.present for c in seen])
            if not named.all() and sum(c.count for c in seen) >= self.targets * classes:
                yield name, _missing_classes(np.flatnonzero(~named), classes)

    def _finding(
        self, found: Sequence[tuple[str, Mismatch]], looks: Sequence[Snapshot], *, stalled: bool
    ) -> Finding:
        name, worst = found[0]
        severity = worst.severity(stalled=stalled)
        same = [look.step for look in looks if any(_says(look, name, worst.cause))]
        return self.finding(
            severity,
            where=(
                *_output(looks[-1]),
                *dict.fromkeys(n for n, m in found if m.severity(stalled=stalled) is severity),
            ),
            since=min(same, default=looks[0].step),
            message=worst.message,
            cause=worst.cause,
            evidence={**worst.evidence, "loss_stands_still": str(stalled).lower()},
            remedies=(worst.remedy,),
        )


def _output(look: Snapshot) -> tuple[str, ...]:
    """The site that gave the model's output: what stands before the loss and has to change."""
    return look["activation"].names[-1:] if "activation" in look else ()


def _flipped(looks: Sequence[Snapshot]) -> Iterator[tuple[str, Mismatch]]:
    """The only loss function called, where the loss is the same negative multiple of it at each look."""
    pairs = [(list(calls(look)), look.loss) for look in looks[-3:]]
    factors = [
        loss / found[0].mean for found, loss in pairs if loss and len(found) == 1 and found[0].mean > 0
    ]
    if len(factors) == 3 and factors[0] < 0 and np.ptp(factors) < 1e-3 * -factors[0]:
        name = pairs[-1][0][0].name
        yield (
            name,
            Mismatch(
                cause="sign of the loss",
                message=f"The loss is {factors[-1]:.3g} times {name}, which an optimizer so makes large.",
                remedy=Remedy("Drop the minus: optimizers make the loss small."),
            ),
        )


def _says(look: Snapshot, name: str, cause: str) -> Iterator[bool]:
    for call in calls(look):
        yield call.name == name and any(m.cause == cause for m in mismatches(call))


def _missing_classes(missing: np.ndarray, classes: int) -> Mismatch:
    few = ", ".join(map(str, missing[:3])) + (", ..." if len(missing) > 3 else "")
    return Mismatch(
        cause="classes that never occur",
        message=f"{len(missing)} of {classes} classes were never among the targets: {few}.",
        remedy=Remedy("Check that labels count from 0 and that the last layer has one unit a class."),
        note=True,
        evidence={"missing": float(len(missing)), "classes": float(classes)},
    )
