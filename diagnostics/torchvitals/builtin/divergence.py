"""TV402: finds a loss that has left for good the level that it had before any training."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from torchvitals.builtin.parts.curve import UNTOLD, Curve
from torchvitals.builtin.parts.middle import comes_down, median, smooth, spread
from torchvitals.builtin.parts.trivial import single, trivial
from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.window import Window

MEMORY = 64
"""Losses of steps in a row that a window holds."""
LEARNED = 0.7
"""Loss over that of a constant prediction below which a classifier has learned something."""
REMEDIES = (
    Remedy("Lower the learning rate tenfold.", ("optimizer.lr=0.001",)),
    Remedy("Warm the learning rate up.", ("scheduler=warmup_cosine",)),
    Remedy("Clip the gradient norm.", ("trainer.gradient_clip_val=1.0",)),
)


@dataclass(frozen=True, kw_only=True)
class Divergence(Diagnostic):
    """A loss that rises far above where it began, and stays there.

    What it measures: two things. A blow-up: the loss rose twice in a row, to more than `blowup` times the
    size of the first two losses, and has not come back: this is judged from the third step on. A
    departure: nine of ten of the latest `losses` losses are above a bar, and they do not fall. Where the loss
    is that of one loss function, the bar is `classes` (classification) or `numbers` (regression) times the
    loss of the best constant prediction or of the untrained net, whichever is larger, and `lost` times the
    former for a classifier that had learned something before; otherwise it is `unknown` times the size of
    the first losses above them, with six times the spread of their differences.

    Why it matters: parameters that get worse than random ones do not find their way back; NaN is next.

    When it is wrong: losses of reinforcement learning and of a GAN's generator rise in healthy runs, since
    what they are measured against improves: hence the high bar where no loss function explains the loss. A
    divergence to less than that is missed there. A catapult in the first ten steps that rises a
    hundredfold is reported, and resolved when it has come down. Losses that jump with a new task fall again
    and are left alone. Size takes the place of a logarithm, since a loss may be negative.

    What to try: a learning rate ten times lower, warm-up, clipping; look whether gradients are set to zero.

    Source: a constant prediction is what a net can do without its input, so that worse than this for good
    is no noise. The factors were set on simulated healthy curves of fourteen kinds, to find nothing.
    """

    code: ClassVar[str] = "TV402"
    name: ClassVar[str] = "divergence"
    needs: ClassVar[frozenset[str]] = frozenset({"loss"})
    ranges: ClassVar = {
        "blowup": (10, 1e9),
        "classes": (1, 1e9),
        "lost": (1, 1e9),
        "numbers": (1, 1e9),
        "unknown": (1, 1e9),
        "losses": (8, MEMORY),
    }

    blowup: float = 100.0
    """size of the loss over that of the first two losses which is seen at once; from 10"""
    classes: float = 1.5
    """loss of a classifier over that of a constant prediction; from 1"""
    lost: float = 1.05
    """the same of a classifier that had learned something; from 1"""
    numbers: float = 10.0
    """loss of a regression over that of a constant prediction; from 1"""
    unknown: float = 30.0
    """rise of any other loss over the size of the first ones; from 1"""
    losses: int = 32
    """latest losses that must be above the bar; 8 to 64"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        curve = Curve.of(window)
        if len(curve) < 3:
            return
        known = trivial(window)
        start = self._blown(curve, known)
        if start is None:
            start = self._departed(window, curve, known)
        if start is not None:
            yield self._finding(curve, start, known)

    def blind(self, window: Window) -> str | None:
        return None if not len(window) or len(Curve.of(window)) else UNTOLD

    def _blown(self, curve: Curve, known: float | None) -> int | None:
        """Step at which the rise of a blow-up began, None where there is none."""
        recent, size = curve.recent(MEMORY), _size(curve)
        rises = np.diff(recent.values) > 0
        high = np.flatnonzero(
            rises[1:] & rises[:-1] & (recent.values[2:] > max(self.blowup * size, known or 0.0))
        )
        if not len(high) or not size:
            return None
        top = int(high[0]) + 2
        calm = np.flatnonzero(~rises[:top])
        start = int(calm[-1]) + 1 if len(calm) else 0
        before = curve.values[curve.steps < recent.steps[start]]
        noise = spread(before) if len(before) > 2 else 0.0
        level, now = curve.early, median(recent.values[top:][-4:])
        lasts = now - level > (recent.values[top] - level) / 10
        return int(recent.steps[start]) if lasts and recent.values[top] > level + 20 * noise else None

    def _bar(self, window: Window, curve: Curve, known: float | None) -> tuple[float, float]:
        """What the loss should be below, and the level that it departed from."""
        level = min(curve.early, float(curve.values[0]))
        if known is None:
            noise = 6 * spread(np.diff(curve.values[:16]))
            return level + self.unknown * _size(curve) + noise, curve.early
        if single(window.looks("loss")[-1]) == "mse_loss":
            return self.numbers * max(level, known), known
        learned = smooth(curve.values, 9).min() < LEARNED * known
        return (self.lost * known if learned else self.classes * max(level, known)), known

    def _departed(self, window: Window, curve: Curve, known: float | None) -> int | None:
        """Step since which the loss is above the bar for good, None where it is not."""
        latest = curve.recent(self.losses)
        if len(latest) < self.losses:
            return None
        bar, level = self._bar(window, curve, known)
        if (latest.values > bar).mean() < 0.9:
            return None
        if comes_down(latest.values - level, to=0.7):
            return None
        return _left(curve, bar, before=len(curve) - self.losses)

    def _finding(self, curve: Curve, since: int, known: float | None) -> Finding:
        first, now = min(curve.early, float(curve.values[0])), float(curve.values[-1])
        evidence = {"loss": now, "first_loss": first}
        return self.finding(
            Severity.CRITICAL,
            where=("model",),
            since=since,
            message=f"The loss rose from {first:.3g} at the start to {now:.3g} and does not come back.",
            cause="learning rate too large",
            evidence=evidence if known is None else {**evidence, "trivial_loss": known},
            remedies=REMEDIES,
        )


def _left(curve: Curve, bar: float, *, before: int) -> int:
    """Step at which the loss left its best level for good: since then it is nearer to the bar."""
    best = float(smooth(curve.values[:before], 9).min()) if before else bar
    low = np.flatnonzero(curve.values[:before] <= (min(best, bar) + bar) / 2)
    return int(curve.steps[low[-1] + 1 if len(low) else 0])


def _size(curve: Curve) -> float:
    """Of the first two losses, since the very first may happen to be 0."""
    return float(np.abs(curve.values[:2]).max())
