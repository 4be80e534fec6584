"""The loss of a predictor that has seen the targets but never an input: what training has to beat."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from torchvitals.builtin.parts.losses import Losses
from torchvitals.builtin.parts.middle import median
from torchvitals.core.snapshot import Snapshot, remembered
from torchvitals.core.tables import Bits, Table
from torchvitals.core.window import Window

SAMPLES = 5
"""Targets per class from which a batch's entropy says something about that of the data."""
CONSTANT = 0.05
"""Entropy, in parts of that of equal classes, below which a batch has in effect one class."""
CLASSES = frozenset({"cross_entropy", "nll_loss"})
BINARY = frozenset({"binary_cross_entropy", "binary_cross_entropy_with_logits"})


UNTAUGHT = 0.9
"""Loss over that of a constant prediction above which next to nothing has been learned."""
RECENT = 8
"""Latest losses whose median is the level of now."""


@dataclass(frozen=True)
class Targets:
    """What a look tells of the best constant prediction, where one loss function was called and no other."""

    op: str
    told: float
    """the loss that was told"""
    own: float
    """that of the function: nan, inf or 0 where it says nothing"""
    level: float | None
    """loss of the best constant prediction of this batch, in units of the function; None where not known"""
    present: Bits | None
    """the classes among them; None where that was not measured"""
    mean: float
    square: float
    """mean of the targets of a squared error, and of their squares"""

    @staticmethod
    @remembered
    def of(look: Snapshot) -> "Targets | None":
        row, told, op = look["loss"], look.loss, single(look)
        if told is None or not op:
            return None
        count = max(row["count"][0], 1)
        present = row.units["present"][0] if "present" in row.units else None
        mean, square = (float(row[name][0] / count) for name in ("target_sum", "target_sq"))
        return Targets(op, told, float(row["loss_sum"][0] / count), _level(row), present, mean, square)


def untaught(window: Window) -> bool:
    """Whether the loss is known to be hardly below that of a constant prediction."""
    known, losses = trivial(window), Losses.of(window).values
    return known is not None and len(losses) > 0 and median(losses[-RECENT:]) > UNTAUGHT * known


@remembered
def far_off(window: Window) -> bool:
    """Whether the loss, as it falls now, takes as many steps again to come to that of a constant prediction.

    How it falls is the line through the latest half of the losses.
    """
    known, losses = trivial(window), Losses.of(window)
    if known is None or len(losses) < 4 * RECENT:
        return False
    now, half = median(losses.values[-RECENT:]), len(losses) // 2
    if now <= known:
        return False
    slope = float(np.polyfit(losses.steps[half:], losses.values[half:], 1)[0])
    return now + slope * float(losses.steps[-1] - losses.steps[0]) > known


@remembered
def single(look: Snapshot) -> str:
    """The loss function, where one and only one was called; else an empty text."""
    return str(look["loss"]["op"][0]) if len(look["loss"]) == 1 else ""


@remembered
def trivial(window: Window) -> float | None:
    """Loss of the best constant prediction, in units of the loss that was told.

    None where it cannot be known: where the loss told is no fixed multiple of one loss function's value
    (sums of several, policies weighted by advantage), where targets hardly vary (the two players of a GAN),
    and where they move while the net learns (bootstrapped values).
    """
    looks = [look for look in window.looks("loss") if (x := look.loss) is not None and math.isfinite(x)]
    seen = [targets for look in looks if (targets := Targets.of(look)) is not None]
    if not seen or len(seen) < len(looks) or any(t.op != seen[0].op for t in seen):
        return None
    known = [t.level for t in seen if t.level is not None]
    if 2 * len(known) <= len(seen):
        return None
    factor = _factor(seen)
    if factor is None or (seen[0].op == "mse_loss" and _moves(seen)):
        return None
    level = median(known)
    if seen[0].op in CLASSES and _sorted(seen):
        level = math.log(looks[-1]["loss"]["classes"][0])
    return factor * level


def _factor(seen: Sequence[Targets]) -> float | None:
    """The told loss over the function's own, where that is the same at three of four looks."""
    own, told = np.array([(t.own, t.told) for t in seen]).T
    usable = np.isfinite(own) & (own > 0)
    if 2 * usable.sum() <= len(own):
        return None
    ratios = told[usable] / own[usable]
    factor = median(ratios)
    same = np.abs(ratios - factor) <= 0.1 * abs(factor)
    return factor if factor > 0 and same.mean() >= 0.75 else None


def _level(row: Table) -> float | None:
    """Of one batch; entropies with the correction of Miller and Madow for the few targets of a batch."""
    op, count, classes = str(row["op"][0]), float(row["count"][0]), float(row["classes"][0])
    adjusted, entropy = bool(row["adjusted"][0]), float(row["prior"][0]) / max(count, 1)
    if op in CLASSES and classes >= 2:
        most = math.log(classes)
        if adjusted or count < SAMPLES * classes:
            return most
        present = int(row.units["present"][0].sum()) if "present" in row.units else classes
        corrected = min(most, entropy + (present - 1) / (2 * count))
        return corrected if entropy > CONSTANT * most else None
    if op in BINARY and not adjusted:
        samples = count / max(classes, 1)
        known = samples >= 2 * SAMPLES
        corrected = min(math.log(2), entropy + 1 / (2 * samples)) if known else math.log(2)
        return corrected if entropy > CONSTANT * math.log(2) else None
    if op == "mse_loss" and count >= 2 * SAMPLES:
        mean, square = float(row["target_sum"][0]) / count, float(row["target_sq"][0]) / count
        variance = square - mean * mean
        return variance * count / (count - 1) if variance > 1e-9 * square else None
    return None


def _sorted(seen: Sequence[Targets]) -> bool:
    """Whether batches hold fewer classes than the data: their entropy says little about that of all."""
    told = [t.present for t in seen if t.present is not None]
    bits = [present for present in told if len(present)]
    if len(told) < len(seen) or not bits or any(len(b) != len(bits[0]) for b in bits):
        return False
    table = np.array(bits)
    return bool(median(table.sum(1)) < 0.8 * table.any(0).sum())


def _moves(seen: Sequence[Targets]) -> bool:
    """Whether the targets of a regression drift: their mean by half a deviation, or their size by half."""
    if len(seen) < 4:
        return False
    mean, square = np.array([(t.mean, t.square) for t in seen]).T
    half = len(seen) // 2
    deviation = math.sqrt(max(median(square[:half] - mean[:half] ** 2), 0.0))
    shift = abs(median(mean[half:]) - median(mean[:half]))
    before, after = median(square[:half]), median(square[half:])
    return shift > deviation / 2 or not before / 1.5 <= after <= 1.5 * before
