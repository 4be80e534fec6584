"""TV404: compares the first loss with that of a net that knows nothing."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torchvitals.builtin.parts.calls import CLASSES, YES_NO, Call, calls
from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.window import Window

REMEDIES = (
    Remedy("Scale the last layer's weights, or what it is given.", ("init=he_normal",)),
    Remedy("Normalise before the last layer.", ("model.norm=layer",)),
)


@dataclass(frozen=True, kw_only=True)
class FirstLossOff(Diagnostic):
    """A first loss far above that of a net without knowledge.

    What it measures: the mean loss of each call of a loss function at the first look. A net whose logits are
    near 0 pays ln C for one of C classes and ln 2 for yes or no; one whose output is near 0 pays the mean
    square of the targets.

    Why it matters: a higher loss says that the net is sure of what it cannot know: its first steps are spent
    on shrinking its logits, and the gradients are as large as the logits are wrong.

    When it is wrong: only a loss that is too high counts, since pretrained nets start lower. Weights,
    smoothing and ignored targets move the expectation and are not judged. Most nets shrink their logits
    within some steps, so it is a note, unless the loss is `enormous` times what was expected. Squared errors
    are never more than a note: targets that happen to be near 0 make any output look large.

    What to try: a smaller last layer, inputs of unit scale, an initialisation that keeps the variance.

    Source: entropy of the uniform distribution; the factor of 100 leaves He nets on raw pixels (50) and tied
    embeddings of unit variance (11) notes.
    """

    code: ClassVar[str] = "TV404"
    name: ClassVar[str] = "first-loss-off"
    needs: ClassVar[frozenset[str]] = frozenset({"loss"})
    ranges: ClassVar = {
        "excess": (0.01, 100),
        "share": (0.01, 100),
        "enormous": (2, 1e9),
        "times": (1.1, 1e9),
    }

    excess: float = 1.0
    """nats above the expected loss of a classifier that are worth a note; from 0.01"""
    share: float = 0.5
    """the same as a part of the expected loss; the larger of the two counts; from 0.01"""
    enormous: float = 100.0
    """loss over the expected one from which a classifier's is a warning; from 2"""
    times: float = 10.0
    """loss over the targets' mean square from which a squared error is worth a note; from 1.1"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        looks = window.looks("loss")
        if not looks or looks[0].nonfinite:
            return
        still = {name for name, _, _ in self._high(looks[-1])}
        high = [found for found in self._high(looks[0]) if found[0] in still]
        if high:
            yield self._finding(looks[0], sorted(high, key=lambda f: -f[1] / f[2]))

    def _high(self, look: Snapshot) -> list[tuple[str, float, float]]:
        """Name, loss and expected loss of the calls whose loss is too high."""
        found = []
        for call in calls(look):
            expected = _expected(call)
            if expected is not None and call.mean > expected + self._margin(call, expected):
                found.append((call.name, call.mean, expected))
        return found

    def _margin(self, call: Call, expected: float) -> float:
        if call.op == "mse_loss":
            return (self.times - 1) * expected
        return max(self.excess, self.share * expected)

    def _finding(self, look: Snapshot, high: list[tuple[str, float, float]]) -> Finding:
        name, loss, expected = high[0]
        sure = any(x > self.enormous * e and not n.startswith("mse_loss") for n, x, e in high)
        return self.finding(
            Severity.WARNING if sure else Severity.INFO,
            where=tuple(name for name, _, _ in high),
            since=look.step,
            message=f"The first {name} is {loss:.3g}; a net that knows nothing has {expected:.3g}.",
            cause="outputs too large at the start",
            evidence={"loss": loss, "expected": expected},
            remedies=REMEDIES,
        )


def _expected(call: Call) -> float | None:
    """Loss of outputs that are all 0, or None where it is not known."""
    if call.adjusted or call.broadcast:
        return None
    if call.op in CLASSES and call.classes > 1 and (call.op != "nll_loss" or call.after == "log_softmax"):
        return math.log(call.classes)
    if call.op in YES_NO:
        return math.log(2)
    if call.op == "mse_loss" and call.target_sq > 0:
        return call.target_sq / call.count
    return None
