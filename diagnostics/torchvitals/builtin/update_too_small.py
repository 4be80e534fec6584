"""TV303: finds steps so small that nothing can be learned in any usual time, and tells what makes them so."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from torchvitals.builtin.parts.harm import finite_losses
from torchvitals.builtin.parts.ratios import Ratios, settled
from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.window import Window

STARVED = 0.1
"""Part of a gradient that clipping has to leave so as not to be the reason."""
FADED = 0.1
"""Gradient norm now over that at the start below which it is the gradients that have gone."""
USUAL = 1e-4
"""Update over weight that training usually has at least."""
GONE = 1e-2
"""Part of the largest learning rate below which a schedule has ended."""
LEAST_STEPS = 32
"""Steps after such an end that are few."""
LONG = 40
"""Looks after which steps that are merely small count as too small."""


@dataclass(frozen=True, kw_only=True)
class UpdateTooSmall(Diagnostic):
    """Updates so small that the loss does not move although there are gradients.

    What it measures: RMS of each true update over RMS of its weight (of other parameters than matrices: over
    at least 1). It asks that no parameter moves more than `limit`, at each of `looks` looks, and that the
    loss fell by less than `fall`; with ten times the limit, at 40 looks. It also tells a schedule that ended
    in the first half of the run, at a hundredth of its height, when the loss had not fallen yet.

    Why it matters: at 1e-5 a weight needs a hundred thousand steps in one direction to become another.

    When it is wrong: warm-ups and the end of a decay are left out. A run that has learned has small updates
    because its gradients have gone: where the gradient norm is a tenth of what it was, or the loss half, it
    is silent. So it is where any parameter moves as it should: then layers starve, not the run. Fine-tuning
    at 1e-5 with Adam moves weights by 1e-4 and more.

    What to try: a larger learning rate; a smaller eps; a higher threshold of clipping; `scaler.scale(loss)`
    before backward.

    Source: the band of healthy updates is 1e-4 to 1e-1 under all usual optimizers; 1e-5 leaves a decade.
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
        if measured and (since := _cut_short(finite)) is not None and self._stuck(finite):
            yield self._starved(since, measured)
            return
        if len(looks) < self.looks or looks[-1].step != max(s.step for s in finite.snapshots if s.due):
            return
        found = [r for r in map(Ratios.of, looks) if r.matrix.any()]
        largest = max((r.largest for r in found), default=0.0)
        small = largest < self.limit or (largest < 10 * self.limit and len(looks) >= max(LONG, self.looks))
        if small and largest > 0 and len(found) >= self.looks and self._stuck(finite) and not _faded(looks):
            yield self._finding(looks, found, largest)

    def _stuck(self, window: Window) -> bool:
        """Whether the loss fell by less than asked for, or than its noise lets one tell."""
        losses = np.array([x for _, x in finite_losses(window)])
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

    def _finding(self, looks: Sequence[Snapshot], found: Sequence[Ratios], largest: float) -> Finding:
        latest = looks[-1]
        cause, remedy = _reason(latest, largest)
        order = found[-1].matrices
        return self.finding(
            Severity.WARNING,
            where=tuple(sorted(order, key=lambda name: order[name])),
            since=looks[0].step,
            message=f"No update exceeds {largest:.2g} of its weight, and the loss does not move.",
            cause=cause,
            evidence={
                "largest_ratio": largest,
                "median_ratio": float(np.median(list(order.values()))),
                "looks": len(looks),
            },
            remedies=(remedy,),
        )


def _cut_short(window: Window) -> int | None:
    """Step at which the learning rate had decayed to nothing, if the run has gone on for as long again."""
    rates = [(s.step, s.scalars["lr"]) for s in window.snapshots if "lr" in s.scalars]
    peak = max((rate for _, rate in rates), default=0.0)
    high = [step for step, rate in rates if rate > GONE * peak]
    if not high or rates[-1][0] - high[-1] <= max(high[-1] - rates[0][0], LEAST_STEPS):
        return None
    return high[-1] + 1


def _faded(looks: Sequence[Snapshot]) -> bool:
    """Whether the gradients have become small since the first looks: the net has converged, or died."""
    norms = [float(np.sqrt(look["gradient"]["sum_sq"].sum())) for look in looks]
    return float(np.median(norms[-3:])) < FADED * float(np.median(norms[:3]))


def _reason(look: Snapshot, largest: float) -> tuple[str, Remedy]:
    scale, eps = look.scalars.get("loss_scale", 1.0), look.scalars.get("eps", 0.0)
    if _clip(look) < STARVED:
        return "gradient clipping", Remedy(
            "Clip at a higher norm, or not at all.", ("trainer.gradient_clip_val=1.0",)
        )
    if scale > 1 and largest * scale > USUAL:
        return "gradients divided by the loss scale", Remedy(
            "Call scaler.scale(loss).backward(), and unscale once: gradients are divided by a scale "
            "that the loss was never multiplied by."
        )
    rms = look["gradient"].rms
    if 0 < float(np.median(rms)) < eps:
        return "eps larger than the gradients", Remedy(
            "Use a smaller eps: it damps what it should only keep from dividing by 0.",
            ("optimizer.eps=1e-8",),
        )
    lr = look.scalars.get("lr")
    return "learning rate too small", Remedy(
        "Raise the learning rate, a hundredfold first.", (f"optimizer.lr={100 * lr:.2g}",) if lr else ()
    )


def _clip(look: Snapshot) -> float:
    """Part of the gradient that clipping left; 1 where that was not measured."""
    if "witness" not in look or not len(look["witness"]):
        return 1.0
    table = look["witness"]
    known = table["incoming_sq"] > 0
    return float(np.sqrt((table["sum_sq"][known] / table["incoming_sq"][known]).min(initial=1.0)))
