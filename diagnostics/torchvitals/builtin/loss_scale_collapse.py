"""TV205: finds half-precision trainings whose loss scale falls without end, and those whose gradients vanish
for want of one.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from torchvitals.builtin.parts.origins import trace
from torchvitals.builtin.parts.underflow import Underflow, underflow
from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.window import Window

OVERFLOWS = (
    Remedy("Find the first site that overflows and compute it in float32 or bfloat16."),
    Remedy("Lower the learning rate, or clip after `scaler.unscale_`.", ("trainer.gradient_clip_val=1.0",)),
)
SCALED = (
    Remedy("Scale the loss: keep float32 weights, and use autocast with a GradScaler."),
    Remedy("Train in bfloat16, whose smallest number is that of float32."),
)


@dataclass(frozen=True, kw_only=True)
class LossScaleCollapse(Diagnostic):
    """A gradient scaler that has to skip again and again, or float16 gradients that underflow without one.

    What it measures: steps that the scaler skipped, less those by which it paid for having raised the scale;
    the scale itself; and, where gradients are computed in float16, the share of them that are exactly 0
    while the others lie next to the smallest number that float16 has.

    Why it matters: every skip halves the scale. Below 1 the scaler makes gradients smaller than they are, and
    still they overflow: something in the net yields Inf at any scale, and no step is made. Without a scale
    gradients below 3e-8 become 0 and are lost.

    When it is wrong: skips at the start are by design, since the scale begins too high on purpose; so is the
    single skip after each growth. While the scale falls and is above 1 a row of skips is no illness, and
    scattered ones are only from `max_share` beyond the start. Underflow counts only while the loss is above
    half of its first value, since converged gradients are small.

    What to try: look for the site that overflows (attention scores, a summed loss, a norm without eps) and
    compute it in float32.

    Source: Micikevicius et al. 2018 (arXiv:1710.03740); a scale that begins at 2^16 reaches 1 after 16 skips.
    """

    code: ClassVar[str] = "TV205"
    name: ClassVar[str] = "loss-scale-collapse"
    needs: ClassVar[frozenset[str]] = frozenset({"update", "gradient", "activation"})
    ranges: ClassVar = {
        "max_share": (0, 1),
        "in_a_row": (2, 64),
        "start": (0, 1e9),
        "min_steps": (16, 64),
        "max_idle": (0, 1),
    }

    max_share: float = 0.1
    """share of the latest steps that may be skipped without a growth before; in [0, 1]; ten halvings in a
    hundred steps, where the scale is doubled once in 2000
    """
    in_a_row: int = 24
    """skips without a step in between that count where the scale does not fall or is not known; 2 to 64"""
    start: int = 32
    """steps at the start whose scattered skips are by design; from 0"""
    min_steps: int = 48
    """fewest steps after the start from which a share is taken; 16 to 64"""
    max_idle: float = 0.5
    """share of float16 gradients that may be exactly 0; in [0, 1]"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        steps = _unbroken(window.snapshots)
        row, scale = _row(steps), _scale(steps)
        if row and ((len(row) > 1 and (scale or 1.0) < 1) or self._endless(row, scale)):
            yield self._stuck(row, scale)
        elif scale is not None and scale < 1 and _fell(window.snapshots):
            yield self._fallen(window.snapshots, scale)
        elif late := [s for s in steps if s.step >= self.start]:
            yield from self._scattered(late, scale)
        if not any("loss_scale" in s.scalars for s in window.snapshots):
            yield from self._lost(window)

    def _endless(self, row: Sequence[Snapshot], scale: float | None) -> bool:
        """Whether there are too many skips although the scale does not come down, or is not known to."""
        falls = scale is not None and scale < _scales(row)[0]
        return len(row) >= self.in_a_row and not falls

    def _scattered(self, steps: Sequence[Snapshot], scale: float | None) -> Iterator[Finding]:
        skips = [s for s in steps if _skipped(s)]
        unpaid = len(skips) - _growths(steps)
        share = unpaid / len(steps)
        if len(steps) < self.min_steps or share <= self.max_share:
            return
        yield self.finding(
            Severity.WARNING,
            where=("scaler",),
            since=skips[0].step,
            message=f"The scaler skipped {len(skips)} of the last {len(steps)} steps{_told(scale)}.",
            cause="gradients overflow again and again",
            evidence={"skipped_share": share, "steps": len(steps), "loss_scale": scale or 0.0},
            remedies=OVERFLOWS,
        )

    def _stuck(self, row: Sequence[Snapshot], scale: float | None) -> Finding:
        return self.finding(
            Severity.CRITICAL,
            where=(*_birthplace(row), "scaler"),
            since=row[0].step,
            message=f"The scaler has skipped each of the last {len(row)} steps{_told(scale)}.",
            cause="the gradient overflows at any scale: Inf or NaN is born in the net or its loss",
            evidence={"skipped_in_a_row": len(row), **({} if scale is None else {"loss_scale": scale})},
            remedies=OVERFLOWS,
        )

    def _fallen(self, snapshots: Sequence[Snapshot], scale: float) -> Finding:
        low = [s.step for s in snapshots if s.scalars.get("loss_scale", 1.0) < 1]
        return self.finding(
            Severity.WARNING,
            where=("scaler",),
            since=low[0],
            message=f"The loss scale has fallen to {scale:.1g}: gradients are made smaller than they are.",
            cause="gradients overflow again and again",
            evidence={"loss_scale": scale},
            remedies=OVERFLOWS,
        )

    def _lost(self, window: Window) -> Iterator[Finding]:
        found: list[Underflow] = underflow(window, max_idle=self.max_idle)
        if not found:
            return
        worst = found[-1]
        yield self.finding(
            Severity.WARNING,
            where=worst.where,
            since=found[0].step,
            message=f"{worst.idle:.0%} of the float16 gradients are exactly 0"
            + (f", and the others are {worst.rms:.0e} on average" if worst.rms else "")
            + ": the smallest number is 6e-08.",
            cause="float16 gradients underflow without a loss scale",
            evidence={"idle_share": worst.idle, "rms_of_others": worst.rms},
            remedies=SCALED,
        )


def _birthplace(row: Sequence[Snapshot]) -> tuple[str, ...]:
    """Where the latest look at the sites saw Inf or NaN come up: by then no scale is to blame for it."""
    look = next((s for s in reversed(row) if "activation_gradient" in s), None)
    origin = trace(look, (), near_limit=1.0) if look is not None else None
    return origin.where if origin is not None and origin.place in ("forward", "backward") else ()


def _skipped(look: Snapshot) -> bool:
    return look.labels.get("skipped") == "scaler"


def _unbroken(snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """The latest snapshots between which no step is missing."""
    found = [*snapshots[-1:]]
    for before in reversed(snapshots[:-1]):
        if before.step != found[-1].step - 1:
            break
        found.append(before)
    return found[::-1]


def _row(steps: Sequence[Snapshot]) -> list[Snapshot]:
    """The latest steps without a break that were skipped."""
    made = [i for i, s in enumerate(steps) if not _skipped(s)]
    return list(steps[made[-1] + 1 if made else 0 :])


def _scale(steps: Sequence[Snapshot]) -> float | None:
    return steps[-1].scalars.get("loss_scale") if steps else None


def _scales(snapshots: Sequence[Snapshot]) -> list[float]:
    return [s.scalars["loss_scale"] for s in snapshots if "loss_scale" in s.scalars]


def _growths(steps: Sequence[Snapshot]) -> int:
    return sum(now > before for before, now in pairwise(_scales(steps)))


def _fell(snapshots: Sequence[Snapshot]) -> bool:
    """Whether the scale came down to where it is: who began below 1 has chosen so."""
    return any(scale >= 1 for scale in _scales(snapshots))


def _told(scale: float | None) -> str:
    return "" if scale is None or not math.isfinite(scale) else f", and the scale is down to {scale:.3g}"
