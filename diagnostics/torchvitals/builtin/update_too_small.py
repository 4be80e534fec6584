"""TV303: finds steps so small that nothing can be learned in any usual time, and tells what makes them so."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from torchvitals.builtin.parts.losses import Losses
from torchvitals.builtin.parts.middle import median
from torchvitals.builtin.parts.ratios import Ratios, settled
from torchvitals.builtin.parts.smallness import USUAL, cut_short, faded, held_back, reason
from torchvitals.builtin.parts.trivial import far_off, untaught
from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.window import Window

LONG = 40
"""Looks after which steps that are merely small count as too small."""


@dataclass(frozen=True, kw_only=True)
class UpdateTooSmall(Diagnostic):
    """Updates so small that the loss does not move although there are gradients.

    What it measures: RMS of each true update over RMS of its weight (of other parameters than matrices: over
    at least 1). It asks that no parameter moves more than `limit`, at each of `looks` looks, and that the
    loss fell by less than `fall`; with ten times the limit, at 40 looks. There a loss that falls is stuck too
    where it is above that of a constant prediction and takes as many steps again to get there. It also tells
    a schedule that ended in the first half of the run, at a hundredth of its height, when the loss had not
    fallen yet; and of nets that are at most a tenth better than a constant prediction after 40 looks, a
    warm-up under which no update has come to `limit`, and an optimizer such as Adam whose steps are below
    1e-4 of the weights and a quarter of what it makes of noise.

    Why it matters: at 1e-5 a weight needs a hundred thousand steps in one direction to become another.

    When it is wrong: other warm-ups and the end of a decay are left out. A run that has learned has small
    updates because its gradients have gone: where the gradient norm is a tenth of what it was, or the loss
    half, it is silent. So it is where any parameter moves as it should: then layers starve, not the run.
    Fine-tuning at 1e-5 with Adam moves weights by 1e-4 and more.

    What to try: a larger learning rate; a smaller eps; a higher threshold of clipping; `scaler.scale(loss)`
    before backward.

    Source: the band of healthy updates is 1e-4 to 1e-1 under all usual optimizers; 1e-5 leaves a decade. Adam
    moves each entry by the learning rate times sqrt((1-b)/(1+b)) even if gradients are noise, with b its
    momentum, unless eps or older gradients outweigh those of now.
    """

    code: ClassVar[str] = "TV303"
    name: ClassVar[str] = "update-too-small"
    needs: ClassVar[frozenset[str]] = frozenset({"gradient", "parameter", "update", "witness"})
    ranges: ClassVar = {"limit": (1e-12, 1e-2), "looks": (2, 64), "fall": (0, 0.5)}

    limit: float = 1e-5
    """update over weight below which nothing is learned; from 1e-12"""
    looks: int = 16
    """looks at a settled learning rate that must agree; 2 to 64"""
    fall: float = 0.01
    """relative fall of the loss, beyond its noise, that is progress; in [0, 0.5]"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        finite = window.finite
        measured = finite.looks("gradient", "parameter", "update")
        looks = settled(finite, measured)
        if measured and (since := cut_short(finite)) is not None and self._stuck(finite):
            yield self._starved(since, measured)
        elif measured and measured[-1].step == max(s.step for s in finite.snapshots if s.due):
            if looks and looks[-1] is measured[-1]:
                yield from self._settled(looks, finite)
            else:
                yield from self._rising(measured, finite)

    def _settled(self, looks: Sequence[Snapshot], window: Window) -> Iterator[Finding]:
        """What is found at looks at which the learning rate neither rises nor fades."""
        long = len(looks) >= max(LONG, self.looks)
        now = Ratios.of(looks[-1])
        if now.some and now.largest >= 10 * self.limit and not (long and held_back(looks)):
            return
        found = [r for r in map(Ratios.of, looks) if r.some]
        largest = max((r.largest for r in found), default=0.0)
        small = largest < self.limit or (largest < 10 * self.limit and long)
        if len(found) < self.looks or not largest > 0:
            return
        if small and (self._stuck(window) or (long and far_off(window))) and not faded(looks):
            yield self._finding(looks, found, largest)
        elif long and held_back(looks) and untaught(window):
            yield self._finding(looks, found, found[-1].largest, held=True)

    def _rising(self, looks: Sequence[Snapshot], window: Window) -> Iterator[Finding]:
        """What is found in a warm-up: only one that would take ten times as long to come to usual updates."""
        found, rates = [Ratios.of(look) for look in looks], [look.scalars.get("lr", 1.0) for look in looks]
        largest = max((r.largest for r in found), default=0.0)
        if len(looks) < LONG or not 0 < largest < self.limit or not np.all(np.diff(rates) > 0):
            return
        if self._stuck(window) and untaught(window):
            yield self._endless(looks, found[-1].largest)

    def _stuck(self, window: Window) -> bool:
        """Whether the loss fell by less than asked for, or than its noise lets one tell."""
        losses = Losses.of(window).values
        if len(losses) < 9 or losses.min() <= 0:
            return False
        third = len(losses) // 3
        early, late = losses[:third], losses[-third:]
        noise = float(np.hypot(early.std(), late.std()) / np.sqrt(third))
        fell = float(early.mean() - late.mean())
        return fell < max(self.fall * float(early.mean()), 2 * noise) and late.mean() > losses[0] / 2

    def _starved(self, since: int, looks: Sequence[Snapshot]) -> Finding:
        now, first = looks[-1].scalars.get("lr", 0.0), looks[0].scalars.get("lr", 0.0)
        return self.finding(
            Severity.WARNING,
            where=("optimizer",),
            since=since,
            message=f"The learning rate has been next to nothing since step {since} ({now:.2g} of "
            f"{first:.2g}), and the loss had hardly moved by then.",
            cause="learning rate decayed too early",
            evidence={"lr": now, "first_lr": first},
            remedies=(
                Remedy("Step the scheduler once per epoch if it counts epochs, or let it decay more slowly."),
            ),
        )

    def _endless(self, looks: Sequence[Snapshot], largest: float) -> Finding:
        steps = looks[-1].step - looks[0].step
        left = steps * USUAL / largest
        return self.finding(
            Severity.WARNING,
            where=("optimizer",),
            since=looks[0].step,
            message=f"After {steps} steps of warm-up no update exceeds {largest:.2g} of its weight, and the "
            f"loss has not moved; at this pace it takes {left:.0f} steps until updates are of usual size.",
            cause="warm-up far longer than the training",
            evidence={"largest_ratio": largest, "steps": steps, "lr": looks[-1].scalars.get("lr", 0.0)},
            remedies=(Remedy("Warm up for a few hundred steps.", ("scheduler=warmup_cosine",)),),
        )

    def _finding(
        self, looks: Sequence[Snapshot], found: Sequence[Ratios], largest: float, *, held: bool = False
    ) -> Finding:
        cause, remedy = reason(looks[-1], largest, held=held)
        order = found[-1].matrices
        does = "net has learned next to nothing" if held else "loss hardly moves"
        return self.finding(
            Severity.WARNING,
            where=tuple(sorted(order, key=lambda name: order[name])),
            since=looks[0].step,
            message=f"No update exceeds {largest:.2g} of its weight, and the {does}.",
            cause=cause,
            evidence={
                "largest_ratio": largest,
                "median_ratio": median(list(order.values())),
                "looks": len(looks),
            },
            remedies=(remedy,),
        )
