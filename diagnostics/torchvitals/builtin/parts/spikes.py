"""Where a loss jumped up and undid a part of what had been learned, and what became of it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from torchvitals.builtin.parts.curve import Curve
from torchvitals.builtin.parts.middle import SIGMA, comes_down, median, medians, smooth

HELD = 12
"""Steps that a level holds before a jump, over those that the jump takes; of a swing both are alike."""
BASE = 16
"""Losses before a jump that it is compared with, and latest ones that make a level."""


@dataclass(frozen=True)
class Spike:
    """A jump of the loss and what became of it."""

    place: int
    """place in the curve of the first loss that is too high"""
    level: float
    """of the loss before"""
    top: float
    recovered: bool
    """the latest losses are back near the level"""
    falls: bool
    """they are on their way"""
    lost: float
    """part of the progress made before that is lost now; 1 is the level of the untrained net"""
    sudden: float
    """part of the progress that was lost within three losses, 0 where the level before had not held long"""
    later: int
    """losses since the jump"""


def latest(curve: Curve, *, z: float, share: float, patience: int) -> Spike | None:
    """The latest spike; where one has not recovered, what comes after is part of it.

    It is above the level before it by `z` standard deviations and by `share` of the progress made till then;
    whether it comes down is judged by the last `patience` losses.
    """
    found, ends = None, 0
    for place, level, noise in _jumps(curve, z, share):
        if place >= ends:
            found, ends = _spike(curve, place, level, noise, share, patience)
    return found


def _jumps(curve: Curve, z: float, share: float) -> Iterator[tuple[int, float, float]]:
    """Places of the first loss of each jump, with the level and the noise before it."""
    if len(curve) < BASE + 2:
        return
    bases = sliding_window_view(curve.values[:-2], BASE)
    levels = medians(bases)
    noises = SIGMA * medians(np.abs(bases - levels[:, None]))
    tops = np.minimum(curve.values[BASE:-1], curve.values[BASE + 1 :])
    heights = tops - np.maximum(levels, medians(bases[:, -3:]))
    progress = curve.early - levels
    bars = np.maximum(z * noises, share * progress)
    for i in np.flatnonzero((progress > 5 * noises) & (heights > bars)):
        yield BASE + int(i), float(levels[i]), float(noises[i])


def _spike(
    curve: Curve, place: int, level: float, noise: float, share: float, patience: int
) -> tuple[Spike, int]:
    """The spike that begins at this place, and the place from which the next one may begin."""
    after, progress = curve.values[place:], curve.early - level
    back = np.flatnonzero(smooth(after, 3) < level + share / 2 * progress + 2 * noise)
    lost = median(after[-8:]) - level
    spike = Spike(
        place=place,
        level=level,
        top=float(after[: back[0] if len(back) else None].max()),
        recovered=bool(len(back)),
        falls=comes_down(after[-patience:] - level, to=0.7),
        lost=lost / progress,
        sudden=_sudden(curve, place, level + share * progress) / progress,
        later=len(after),
    )
    return spike, place + int(back[0]) + 3 if len(back) else len(curve)


def _sudden(curve: Curve, place: int, bar: float) -> float:
    """Largest rise from the median of three losses to the lower one of the next two, soon after `place`.

    It is 0 where the loss had been below `bar` for less than `HELD` times as long as the jump took: what
    swings is as long down as it is on its way up, and the older losses of a window lie far apart.
    """
    above = np.flatnonzero(smooth(curve.values[:place], 3) > bar)
    held = curve.steps[place] - curve.steps[above[-1] + 2 if len(above) else 0]
    if held < HELD * (curve.steps[place] - curve.steps[place - 1]):
        return 0.0
    values = curve.values[place - 3 : place + BASE]
    return float((np.minimum(values[3:-1], values[4:]) - smooth(values[:-2], 3)).max())
