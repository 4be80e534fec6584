"""TV307: finds weights that grow without end, or that weight decay presses to nothing."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from torchvitals.builtin.parts.decay import decay_rules, gains, matrices, norm_of
from torchvitals.builtin.parts.harm import harm_since
from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.window import Window

Which = Callable[[Snapshot], tuple[str, ...]]
"""Weight matrices, or gains."""
NOTHING = 1e-2
"""Norm over the largest one so far below which a net is no longer there."""
LEAST_LOOKS = 6
"""Looks that make a trend."""
STRAIGHT = 0.9
"""Least R^2 of log norm against step for a growth to be geometric."""


@dataclass(frozen=True, kw_only=True)
class WeightRunaway(Diagnostic):
    """Weight matrices whose norm grows geometrically, or shrinks because of weight decay, while nothing is
    learned.

    What it measures: the Euclidean norm of all weight matrices together. Growth: by more than `growth` within
    the window, on a straight line of log norm against step. Decay: below `shrunk` of the largest norm so far,
    with a weight decay whose pull is as strong as the gradient (as half of the update where it is decoupled,
    as in AdamW); the same of the gains of all normalisations together.

    Why it matters: weights that grow by a factor a step overflow; weights that are pulled to 0 harder than
    the data pull them carry no signal.

    When it is wrong: only with a loss that stands still or rises is it an illness. Weights before a
    normalisation grow like the square root of time, slimmed networks lose gains while they learn, and a net
    that groks under strong decay shrinks with a loss near 0. Large first weights may
    shrink while the loss falls.

    What to try: a weight decay of 1e-4 with SGD, 1e-2 with AdamW; against growth a lower learning rate and
    the sign of the loss.

    Source: the pull of the decay is lr x weight_decay x w, so that a norm halves in 0.7/(lr x weight_decay)
    steps.
    """

    code: ClassVar[str] = "TV307"
    name: ClassVar[str] = "weight-runaway"
    needs: ClassVar[frozenset[str]] = frozenset({"gradient", "loss", "parameter", "update"})
    ranges: ClassVar = {"growth": (2, 1e30), "shrunk": (1e-6, 0.9)}

    growth: float = 100.0
    """norm now over the first one of the stretch; from 2"""
    shrunk: float = 0.5
    """norm now over the largest one so far; in [1e-6, 0.9]"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        looks = window.finite.looks("gradient", "parameter", "update")
        harm = harm_since(window, looks[0].step, window.latest.step) if len(looks) >= LEAST_LOOKS else None
        if harm is None:
            return
        norms = np.array([norm_of(look) for look in looks])
        if not norms.min() > 0:
            return
        if (begun := self._grows(looks, norms)) is not None:
            yield self._growing(looks[begun:], norms[begun:], harm)
        elif self._shrinks(looks, norms, matrices):
            yield self._shrinking(looks, norms, harm, matrices)
        elif self._shrinks(looks, scales := np.array([norm_of(look, names=gains) for look in looks]), gains):
            yield self._shrinking(looks, scales, harm, gains)

    def _shrinks(self, looks: Sequence[Snapshot], norms: np.ndarray, names: Which) -> bool:
        shrunk = norms[-1] < self.shrunk * norms.max() and norms[-1] < norms[-LEAST_LOOKS]
        return bool(shrunk) and _pulled(looks, norms, names)

    def _grows(self, looks: Sequence[Snapshot], norms: np.ndarray) -> int | None:
        """Where the geometric growth that lasts until now began, or None."""
        steps = np.array([look.step for look in looks])
        for begun in range(len(looks) - LEAST_LOOKS + 1):
            y = np.log(norms[begun:])
            if y[-1] - y[0] <= np.log(self.growth):
                return None
            line = np.corrcoef(steps[begun:], y)[0, 1]
            if line > 0 and line**2 > STRAIGHT:
                return begun
        return None

    def _growing(self, looks: Sequence[Snapshot], norms: np.ndarray, harm: str) -> Finding:
        steps = looks[-1].step - looks[0].step
        rate = float(np.log2(norms[-1] / norms[0])) / steps
        return self.finding(
            Severity.CRITICAL,
            where=matrices(looks[-1]),
            since=looks[0].step,
            message=f"The weights double every {1 / rate:.2g} steps, and {harm}.",
            cause="learning rate too large",
            evidence={"growth": float(norms[-1] / norms[0]), "doublings_per_step": rate, "harm": harm},
            remedies=(
                Remedy("Lower the learning rate tenfold.", _lower(looks[-1])),
                Remedy("Check the sign of the loss: an optimizer makes it small."),
            ),
        )

    def _shrinking(self, looks: Sequence[Snapshot], norms: np.ndarray, harm: str, names: Which) -> Finding:
        share, look = float(norms[-1] / norms.max()), looks[-1]
        decay, what = look.scalars["weight_decay"], "gains" if names is gains else "weights"
        return self.finding(
            Severity.CRITICAL if share < NOTHING else Severity.WARNING,
            where=names(look),
            since=looks[int(np.argmax(norms))].step,
            message=f"Weight decay {decay:g} has pressed the {what} to {100 * share:.2g} % of their norm, "
            f"and {harm}.",
            cause="over-regularised: weight decay too strong",
            evidence={"share_left": share, "weight_decay": decay, "harm": harm},
            remedies=(Remedy("Lower the weight decay.", ("optimizer.weight_decay=1e-4",)),),
        )


def _pulled(looks: Sequence[Snapshot], norms: np.ndarray, names: Which) -> bool:
    """Whether the decay pulled as hard as the gradient at most of the looks since the norm was largest."""
    falling = looks[int(np.argmax(norms)) :]
    return sum(decay_rules(look, names) for look in falling) > len(falling) / 2


def _lower(look: Snapshot) -> tuple[str, ...]:
    lr = look.scalars.get("lr")
    return (f"optimizer.lr={lr / 10:.2g}",) if lr else ()
