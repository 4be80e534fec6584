"""TV401: finds jumps of the loss that undo what had been learned, and rises that follow the learning rate."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from torchvitals.builtin.parts.curve import UNTOLD, Curve
from torchvitals.builtin.parts.middle import median, smooth, spread
from torchvitals.builtin.parts.spikes import BASE, Spike, latest
from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.window import Window

BEYOND = 2.0
"""Learning rate over the largest one before its fall from which it is no mere restart."""
RATE = Remedy(
    "Let the schedule end where the training ends: a learning rate that rises again undoes what was learned.",
    ("scheduler=warmup_cosine",),
)
JUMP = (
    Remedy("Clip the gradient norm.", ("trainer.gradient_clip_val=1.0",)),
    Remedy("Lower the learning rate.", ("optimizer.lr=0.001",)),
)


@dataclass(frozen=True, kw_only=True)
class LossSpike(Diagnostic):
    """A loss that jumps up and undoes a good part of what had been learned.

    What it measures: the progress of a run is the fall from its first losses to the median of the 16
    before a jump. A jump is two losses in a row which are above that median by more than `share` of the
    progress and by more than `z` standard deviations (from the median absolute deviation), within three
    steps. It is INFO at first and when it has recovered, WARNING when after `patience` losses most of the
    progress is still lost, most of that by the jump itself, and the loss does not fall. Where the learning
    rate rose just before, `share` of the progress is enough, unless the rate falls again; even then where a
    rate that had fallen rose to twice its old height and the loss above its start. A slow rise is
    looked for only while the learning rate rises again after having fallen: it is WARNING when it undoes
    `share` of the progress.

    Why it matters: a spike that does not recover has destroyed what the net had learned.

    When it is wrong: single large losses are unlucky batches, and large relative noise around a converged
    loss of nearly 0 is no part of the progress: neither counts. Before the progress is five standard
    deviations there is nothing to lose, so that nothing is said about the noisy losses of reinforcement
    learning. A new task or warm restart makes the loss jump and fall again: INFO. A new and much harder task
    on which nothing is learned within `patience` losses is taken for a spike. Late in a run, where looks are
    64 steps apart, a jump can fall where no step in a row is remembered, and is INFO for ever. Spikes that
    come back time and again but always recover are INFO too.

    What to try: clip gradients, lower the learning rate or Adam's second beta, skip the batch; where the
    learning rate rose, let its schedule end with the training.

    Source: robust z-scores as in Iglewicz and Hoaglin 1993; shares of the progress because they are the same
    for a loss in any unit and with any offset.
    """

    code: ClassVar[str] = "TV401"
    name: ClassVar[str] = "loss-spike"
    needs: ClassVar[frozenset[str]] = frozenset()
    ranges: ClassVar = {"z": (3, 1000), "share": (0.05, 1), "most": (0.05, 1), "patience": (4, 64)}

    z: float = 8.0
    """standard deviations above the level before; from 3, with 5 a heavy-tailed loss jumps often"""
    share: float = 0.25
    """part of the progress that a jump undoes; in [0.05, 1]"""
    most: float = 0.5
    """part of the progress that has to be lost for good without a rise of the learning rate; in [0.05, 1]"""
    patience: int = 32
    """losses after which a spike should have recovered; 4 to 64"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        curve = Curve.of(window)
        spike = latest(curve, z=self.z, share=self.share, patience=self.patience)
        if spike is not None and not (spike.recovered and spike.later > self.patience):
            yield self._jump(curve, spike)
        elif (lost := self._regress(curve)) is not None:
            yield self._rise(curve, *lost)

    def blind(self, window: Window) -> str | None:
        return None if not len(window) or len(Curve.of(window)) else UNTOLD

    def _jump(self, curve: Curve, spike: Spike) -> Finding:
        around = curve.rates[max(0, spike.place - 8) : spike.place + 2]
        rose = bool(around.max() > 2 * around[0])
        stays = spike.later >= self.patience and not spike.recovered and not spike.falls
        least = self.share if rose else self.most
        after = curve.rates[spike.place :]
        # As in a warm restart: the loss will follow the rate, but then it must have come down when that has.
        decays = rose and bool(0.25 * after.max() < after[-1] < 0.98 * after.max())
        stays = stays and not decays
        bad = stays and spike.lost > least and (rose or spike.sudden > max(least, 0.7 * spike.lost))
        bad = bad or (spike.later >= self.patience and spike.lost > self.share and _began_anew(curve, spike))
        ending = "has recovered" if spike.recovered else "has not recovered yet"
        if bad:
            ending = f"is still {spike.lost:.0%} of the way back up after {spike.later} losses"
        return self.finding(
            Severity.WARNING if bad else Severity.INFO,
            where=("model",),
            since=int(curve.steps[spike.place]),
            message=f"The loss jumped from {spike.level:.3g} to {spike.top:.3g} and {ending}.",
            cause="learning rate rose" if rose else "a step too large or an unusual batch",
            evidence={
                "loss_before": spike.level,
                "loss_at_its_highest": spike.top,
                "progress_lost": spike.lost,
                "losses_since": spike.later,
            },
            remedies=(RATE,) if rose else JUMP,
        )

    def _regress(self, curve: Curve) -> tuple[int, float, float] | None:
        """Place and level of the best loss, and the part of the progress lost since with a rising rate."""
        if len(curve) < 2 * BASE:
            return None
        rates, low = curve.rates, int(np.argmin(curve.rates))
        fell, rises = rates[low] < rates[: low + 1].max() / 2, rates[-1] > rates[-BASE // 2]
        if not (fell and rises and rates[-1] > 2 * rates[low]):
            return None
        levels = smooth(curve.values, 9)
        place = int(np.argmin(levels))
        best, now = float(levels[place]), curve.values[-BASE:]
        progress, noise, lost = curve.early - best, spread(now), median(now) - best
        if progress > 5 * noise and lost > max(self.share * progress, 4 * noise):
            return place, best, lost / progress
        return None

    def _rise(self, curve: Curve, place: int, best: float, lost: float) -> Finding:
        now = median(curve.values[-BASE:])
        return self.finding(
            Severity.WARNING,
            where=("model",),
            since=int(curve.steps[place]),
            message=f"The loss rose from {best:.3g} to {now:.3g} while the learning rate rose again.",
            cause="learning rate rose",
            evidence={"best_loss": best, "loss": now, "progress_lost": lost},
            remedies=(RATE,),
        )


def _began_anew(curve: Curve, spike: Spike) -> bool:
    """Whether a rate that had fallen rose to twice what it ever was, and the loss to more than at the start.

    A warm restart comes back to a rate under which the run had learned before: what it undoes for a while it
    had learned at that rate. This one threw the net away.
    """
    before = curve.rates[: spike.place]
    low = int(np.argmin(before))
    peak = float(before[: low + 1].max())
    fell = before[low] < peak / 2
    return bool(fell and curve.rates[low:].max() > BEYOND * peak and spike.top > curve.early)
