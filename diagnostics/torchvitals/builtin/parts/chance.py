"""Whether a loss was ever better than that of a constant prediction, beyond chance."""

import math

import numpy as np

from torchvitals.builtin.parts.curve import Curve
from torchvitals.builtin.parts.middle import median, medians, spread

BLOCK = 8
"""Losses that are judged by their median."""


def at_chance(curve: Curve, bar: float, *, share: float) -> bool:
    """Whether no level of the losses was below `share` of the bar, and they do not fall."""
    return _best(curve) >= share * bar and not _falls(curve, bar)


def _best(curve: Curve) -> float:
    """The lower one of the latest level and the lowest median of a block, which may be low by chance."""
    values = curve.values[len(curve) % BLOCK :]
    blocks = medians(values.reshape(-1, BLOCK))
    chance = 2 * 1.25 * spread(values[BLOCK:]) / math.sqrt(BLOCK)
    return min(float(blocks.min()) + chance, median(values[-4 * BLOCK :]))


def _falls(curve: Curve, bar: float) -> bool:
    """Whether the second half of the losses is lower than the first beyond chance, and not by a trifle.

    What brings the loss down to that of a constant prediction has learned no more than that: a trifle is a
    hundredth of it above, and nothing below.
    """
    values = curve.values[2 * BLOCK :] if len(curve) >= 6 * BLOCK else curve.values
    one, two = np.array_split(values, 2)
    drop, now = median(one) - median(two), median(two)
    noise = spread(np.concatenate([one - median(one), two - median(two)]))
    chance = 3 * 1.25 * noise * math.sqrt(1 / len(one) + 1 / len(two))
    return drop > chance and (drop > 0.01 * bar or now < bar - chance)
