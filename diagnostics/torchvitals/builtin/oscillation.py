"""TV407: finds a loss that jumps to and fro at every step, as too large a step across a valley makes it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from torchvitals.builtin.parts.curve import Curve
from torchvitals.builtin.parts.middle import comes_down, median
from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.window import Window


@dataclass(frozen=True, kw_only=True)
class Oscillation(Diagnostic):
    """A loss that goes up and down by turns at every step and gets nowhere.

    What it measures: over the latest `losses` losses of steps in a row, whether rises and falls take turns in
    more than `turns` of the steps, and nine of ten of the high losses are above nine of ten of the low ones.
    That is INFO while the loss does not fall. It is WARNING when the high losses are worse than the first
    losses of the same parity of step by a fifth, and the low ones no better than a tenth below theirs.

    Why it matters: steps that jump across the valley of the loss cannot come to its floor.

    When it is wrong: full batches at the edge of stability go to and fro while the loss falls; the two
    players of a GAN swing slowly. Two tasks or two halves of the data that take turns give two levels as
    well: each is compared with its own beginning, above which a task that is being learned does not rise. A
    step that bounces between two levels from its first two steps on cannot be told from them and remains
    INFO. Slow swings of a large momentum are no turns and are not looked for.

    What to try: a lower learning rate, or a lower momentum.

    Source: gradient descent on a valley of curvature above 2/lr changes sides at every step (Cohen et al.
    2021, arXiv:2103.00065); of 32 losses of pure noise, nine tenths take turns with a chance below 1e-3.
    """

    code: ClassVar[str] = "TV407"
    name: ClassVar[str] = "oscillation"
    needs: ClassVar[frozenset[str]] = frozenset()
    ranges: ClassVar = {"losses": (16, 64), "turns": (0.5, 1)}

    losses: int = 32
    """latest losses, of steps in a row, that are judged; 16 to 64"""
    turns: float = 0.9
    """least share of steps at which a rise follows a fall or a fall a rise; in [0.5, 1]"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        curve = Curve.of(window)
        latest = curve.recent(self.losses)
        if len(latest) < self.losses or not self._takes_turns(latest.values):
            return
        low, high = sorted((latest.steps[0] % 2, latest.steps[1] % 2), key=lambda p: _phase(latest, p))
        middle = latest.values[: len(latest) // 2 * 2].reshape(-1, 2).mean(-1)
        if not comes_down(middle - latest.values.min(), to=0.9):
            harm = _phase(latest, high) > _above(curve, high, 0.2)
            harm = harm and _phase(latest, low) > _above(curve, low, -0.1)
            yield self._finding(latest, _phase(latest, low), _phase(latest, high), harm=harm)

    def _takes_turns(self, values: np.ndarray) -> bool:
        change = np.diff(values)
        if (change[1:] * change[:-1] < 0).mean() < self.turns:
            return False
        one, other = values[::2], values[1::2]
        low, high = (one, other) if median(one) < median(other) else (other, one)
        return bool(np.quantile(high, 0.1) > np.quantile(low, 0.9))

    def _finding(self, latest: Curve, low: float, high: float, *, harm: bool) -> Finding:
        return self.finding(
            Severity.WARNING if harm else Severity.INFO,
            where=("model",),
            since=int(latest.steps[0]),
            message=f"The loss goes to and fro between {low:.3g} and {high:.3g} at every step"
            + (", above where it began." if harm else "."),
            cause="learning rate or momentum too large" if harm else "large steps, or two tasks by turns",
            evidence={"low_loss": low, "high_loss": high, "losses": len(latest)},
            remedies=(
                Remedy("Lower the learning rate.", ("optimizer.lr=0.001",)),
                Remedy("Lower the momentum."),
            )
            if harm
            else (),
        )


def _phase(curve: Curve, parity: int) -> float:
    """Median loss of the even or the odd steps."""
    return median(curve.values[curve.steps % 2 == parity])


def _above(curve: Curve, parity: int, part: float) -> float:
    """The median of the first losses of that parity, and that part of its size more."""
    first = median(curve.values[curve.steps % 2 == parity][:3])
    return first + part * abs(first)
