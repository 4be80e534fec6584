"""TV404: compares the first loss with that of a net that knows nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torchvitals.builtin.parts.opening import Opening, lingers
from torchvitals.builtin.parts.oversized import head, oversized
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
    within some steps, so it is a note, unless the loss is `enormous` times what was expected, or `large`
    times and after `settle` steps still not down, of inputs that are not large themselves. Squared errors are
    never more than a note: targets that happen to be near 0 make any output look large.

    What to try: a smaller last layer, inputs of unit scale, an initialisation that keeps the variance.

    Source: entropy of the uniform distribution; the factor of 100 leaves He nets on raw pixels (50) notes. A
    head tied to embeddings of unit variance begins at about d / ln V, since every token predicts itself: at 9
    for 32 dimensions and tokens, which Adam unlearns; from 16 times on it took longer than the twins needed
    to learn.
    """

    code: ClassVar[str] = "TV404"
    name: ClassVar[str] = "first-loss-off"
    needs: ClassVar[frozenset[str]] = frozenset({"activation", "features", "loss", "parameter"})
    ranges: ClassVar = {
        "excess": (0.01, 100),
        "share": (0.01, 100),
        "enormous": (2, 1e9),
        "times": (1.1, 1e9),
        "large": (2, 1e9),
        "settle": (1, 64),
        "still": (1.1, 100),
    }

    excess: float = 1.0
    """nats above the expected loss of a classifier that are worth a note; from 0.01"""
    share: float = 0.5
    """the same as a part of the expected loss; the larger of the two counts; from 0.01"""
    enormous: float = 100.0
    """loss over the expected one from which a classifier's is a warning; from 2"""
    times: float = 10.0
    """loss over the targets' mean square from which a squared error is worth a note; from 1.1"""

    large: float = 16.0
    """the same from which it is one if it does not come down; from 2"""
    settle: int = 16
    """steps within which it should have; in [1, 64]"""
    still: float = 3.0
    """loss over the expected one that is not down yet; from 1.1"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        looks = window.looks("loss")
        if not looks or looks[0].nonfinite:
            return
        still = {opening.name for opening in self._high(looks[-1])}
        high = [opening for opening in self._high(looks[0]) if opening.name in still]
        if high:
            stays = lingers(window, large=self.large, times=self.still, settle=self.settle)
            yield self._finding(looks[0], sorted(high, key=lambda o: -o.times), stays=stays)

    def _high(self, look: Snapshot) -> list[Opening]:
        """Those whose loss is too high."""
        return [o for o in Opening.of(look) if o.loss > o.expected + self._margin(o)]

    def _margin(self, opening: Opening) -> float:
        if opening.op == "mse_loss":
            return (self.times - 1) * opening.expected
        return max(self.excess, self.share * opening.expected)

    def _finding(self, look: Snapshot, high: list[Opening], *, stays: bool) -> Finding:
        worst = high[0]
        sure = stays or any(o.times > self.enormous and o.op != "mse_loss" for o in high)
        return self.finding(
            Severity.WARNING if sure else Severity.INFO,
            where=(*_to_blame(look), *(o.name for o in high)),
            since=look.step,
            message=f"The first {worst.name} is {worst.loss:.3g}; a net that knows nothing has "
            f"{worst.expected:.3g}"
            + (f", and {self.settle} steps did not bring it there." if stays else "."),
            cause="outputs too large at the start",
            evidence={"loss": worst.loss, "expected": worst.expected},
            remedies=REMEDIES,
        )


def _to_blame(look: Snapshot) -> tuple[str, ...]:
    """Layers that are larger than any usual one, and the one that gives the outputs."""
    if "activation" not in look or "parameter" not in look:
        return ()
    return tuple(dict.fromkeys([*oversized(look), *filter(None, [head(look)])]))
