"""Why updates are small: what stands between the gradient and a step of usual size."""

from collections.abc import Sequence

import numpy as np

from torchvitals.builtin.parts.middle import median
from torchvitals.builtin.parts.ratios import Ratios
from torchvitals.core.finding import Remedy
from torchvitals.core.snapshot import Snapshot, remembered
from torchvitals.core.window import Window

FADED = 0.1
"""Gradient norm now over that at the start below which it is the gradients that have gone."""
GONE = 1e-2
"""Part of the largest learning rate below which a schedule has ended."""
LEAST_STEPS = 32
"""Steps after such an end that are few."""
STARVED = 0.1
"""Part of a gradient that clipping has to leave so as not to be the reason."""
USUAL = 1e-4
"""Update over weight that training usually has at least."""
HELD = 0.25
"""Part of the step that an optimizer makes even of pure noise, below which something holds it back."""
NORMED = frozenset({"Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop"})
"""Optimizers whose step is the learning rate in each entry, whatever the gradient's size: those that divide
by what they remember of it, and forget.
"""
LOWER = Remedy(
    "Use a smaller eps: it damps what it should only keep from dividing by 0.", ("optimizer.eps=1e-8",)
)
FORGET = Remedy(
    "Let the second moment forget sooner, and clip the gradient norm: it remembers gradients far larger than "
    "those of now.",
    ("optimizer.betas=[0.9,0.95]", "trainer.gradient_clip_val=1.0"),
)


def cut_short(window: Window) -> int | None:
    """Step at which the learning rate had decayed to nothing, if the run has gone on for as long again."""
    rates = [(s.step, s.scalars["lr"]) for s in window.snapshots if "lr" in s.scalars]
    peak = max((rate for _, rate in rates), default=0.0)
    high = [step for step, rate in rates if rate > GONE * peak]
    if not high or rates[-1][0] - high[-1] <= max(high[-1] - rates[0][0], LEAST_STEPS):
        return None
    return high[-1] + 1


def faded(looks: Sequence[Snapshot]) -> bool:
    """Whether the gradients have become small since the first looks: the net has converged, or died."""
    first, now = (median([_gradient_norm(look) for look in part]) for part in (looks[:3], looks[-3:]))
    return now < FADED * first


def held_back(looks: Sequence[Snapshot]) -> bool:
    """Whether the optimizer's own divisor holds all steps back, in the latest half of these looks.

    Adam moves each entry by the learning rate m / sqrt(v), which is sqrt((1 - b) / (1 + b)) in RMS if the
    gradient is nothing but noise, with b its momentum, and up to 1 if it has a direction. Far less than that
    in every parameter, and less than is usual by the size of the weights, means that the divisor is not what
    gradients are now. A learning rate that makes up for a large eps has updates of the usual size.
    """
    late = looks[len(looks) // 2 :]
    if not all(map(_held, late)):
        return False
    ratios = [value for look in late for value in Ratios.of(look).matrices.values()]
    return bool(ratios) and median(ratios) < USUAL


def reason(look: Snapshot, largest: float, *, held: bool = False) -> tuple[str, Remedy]:
    """What makes the updates as small as `largest`, and what helps."""
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
    if 0 < median(look["gradient"].rms) < eps:
        return "eps larger than the gradients", LOWER
    if held:
        return "a second moment that remembers far larger gradients", FORGET
    lr = look.scalars.get("lr")
    return "learning rate too small", Remedy(
        "Raise the learning rate, a hundredfold first.", (f"optimizer.lr={100 * lr:.2g}",) if lr else ()
    )


def _gradient_norm(look: Snapshot) -> float:
    return float(np.sqrt(look["gradient"]["sum_sq"].sum()))


@remembered
def _held(look: Snapshot) -> bool:
    """Whether every update is far below what the optimizer makes of noise."""
    lr, b = look.scalars.get("lr", 0.0), look.scalars.get("momentum", 0.0)
    update = look["update"]
    live = update["idle"] < update["count"]
    if not set(look.labels.get("optimizer", "").split("+")) <= NORMED or not live.any() or not 0 <= b < 1:
        return False
    return bool(update.rms[live].max() < HELD * lr * np.sqrt((1 - b) / (1 + b)))


def _clip(look: Snapshot) -> float:
    """Part of the gradient that clipping left; 1 where that was not measured."""
    if "witness" not in look or not len(look["witness"]):
        return 1.0
    table = look["witness"]
    known = table["incoming_sq"] > 0
    return float(np.sqrt((table["sum_sq"][known] / table["incoming_sq"][known]).min(initial=1.0)))
