"""The loss of a predictor that has seen the targets but never an input: what training has to beat."""

import math
from collections.abc import Sequence

import numpy as np

from torchvitals.core.snapshot import Snapshot, remembered
from torchvitals.core.tables import Table
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


def untaught(window: Window) -> bool:
    """Whether the loss is known to be hardly below that of a constant prediction."""
    known, losses = trivial(window), _told(window)
    return known is not None and len(losses) > 0 and float(np.median(losses[-RECENT:, 1])) > UNTAUGHT * known


def far_off(window: Window) -> bool:
    """Whether the loss, as it falls now, takes as many steps again to come to that of a constant prediction.

    How it falls is the line through the latest half of the losses.
    """
    known, losses = trivial(window), _told(window)
    if known is None or len(losses) < 4 * RECENT:
        return False
    steps, values = losses[len(losses) // 2 :].T
    slope, now = float(np.polyfit(steps, values, 1)[0]), float(np.median(values[-RECENT:]))
    return now > known and now + slope * (steps[-1] - losses[0, 0]) > known


def _told(window: Window) -> np.ndarray:
    """Step and value of each finite loss; shape (losses, 2)."""
    told = [(s.step, s.loss) for s in window.snapshots if s.loss is not None and np.isfinite(s.loss)]
    return np.array(told, float).reshape(-1, 2)


@remembered
def single(look: Snapshot) -> str:
    """The loss function, where one and only one was called; else an empty text."""
    return str(look["loss"]["op"][0]) if len(look["loss"]) == 1 else ""


def trivial(window: Window) -> float | None:
    """Loss of the best constant prediction, in units of the loss that was told.

    None where it cannot be known: where the loss told is no fixed multiple of one loss function's value
    (sums of several, policies weighted by advantage), where targets hardly vary (the two players of a GAN),
    and where they move while the net learns (bootstrapped values).
    """
    looks = [look for look in window.looks("loss") if look.loss is not None and np.isfinite(look.loss)]
    if not looks or any(single(look) != single(looks[0]) or not single(looks[0]) for look in looks):
        return None
    rows = [look["loss"] for look in looks]
    factor = _factor(looks, rows)
    levels = [_level(row) for row in rows]
    known = [level for level in levels if level is not None]
    if factor is None or 2 * len(known) <= len(levels) or _moves(rows):
        return None
    level = float(np.median(known))
    if single(looks[0]) in CLASSES and _sorted(rows):
        level = math.log(rows[-1]["classes"][0])
    return factor * level


def _factor(looks: Sequence[Snapshot], rows: Sequence[Table]) -> float | None:
    """The told loss over the function's own, where that is the same at three of four looks."""
    own = np.array([row["loss_sum"][0] / max(row["count"][0], 1) for row in rows])
    told = np.array([look.loss for look in looks], float)
    usable = np.isfinite(own) & (own > 0)
    if 2 * usable.sum() <= len(own):
        return None
    ratios = told[usable] / own[usable]
    factor = float(np.median(ratios))
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


def _sorted(rows: Sequence[Table]) -> bool:
    """Whether batches hold fewer classes than the data: their entropy says little about that of all."""
    if any("present" not in row.units for row in rows):
        return False
    bits = [row.units["present"][0] for row in rows if len(row.units["present"][0])]
    if not bits or any(len(b) != len(bits[0]) for b in bits):
        return False
    return bool(np.median([b.sum() for b in bits]) < 0.8 * np.any(bits, axis=0).sum())


def _moves(rows: Sequence[Table]) -> bool:
    """Whether the targets of a regression drift: their mean by half a deviation, or their size by half."""
    if str(rows[0]["op"][0]) != "mse_loss" or len(rows) < 4:
        return False
    count = np.array([max(row["count"][0], 1) for row in rows])
    mean = np.array([row["target_sum"][0] for row in rows]) / count
    square = np.array([row["target_sq"][0] for row in rows]) / count
    half = len(rows) // 2
    deviation = math.sqrt(max(float(np.median(square[:half] - mean[:half] ** 2)), 0.0))
    shift = abs(float(np.median(mean[half:]) - np.median(mean[:half])))
    before, after = float(np.median(square[:half])), float(np.median(square[half:]))
    return shift > deviation / 2 or not before / 1.5 <= after <= 1.5 * before
