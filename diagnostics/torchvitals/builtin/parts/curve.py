"""The course of a loss as a window remembers it: every recent step, and ever fewer of the older ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from torchvitals.core.window import Window

UNTOLD = "Nobody told the loss, so that its course was not judged."
HUGEST = 1e150
"""Beyond it numbers are cut off, so that no mean of two of them overflows."""
SIGMA = 1.4826
"""Standard deviation over median absolute deviation of a normal distribution."""
FIRST = 3
"""Losses at the very start that are the level of an untrained net."""


@dataclass(frozen=True)
class Curve:
    """The finite values of one scalar, oldest first; a NaN or Inf is no basis for a comparison."""

    steps: np.ndarray
    values: np.ndarray
    rates: np.ndarray
    """learning rate of each of these steps, 1 where nobody told it"""

    @classmethod
    def of(cls, window: Window, name: str = "loss") -> "Curve":
        told = [s for s in window.snapshots if np.isfinite(s.scalars.get(name, np.nan))]
        values = np.clip([s.scalars[name] for s in told], -HUGEST, HUGEST)
        rates = [s.scalars.get("lr", 1.0) for s in told]
        return cls(np.array([s.step for s in told], int), np.array(values, float), np.array(rates, float))

    def __len__(self) -> int:
        return len(self.values)

    @property
    def early(self) -> float:
        """Median of the first losses: the level of a net that knows nothing."""
        return median(self.values[:FIRST])

    @property
    def span(self) -> int:
        """Steps from the first value to the last."""
        return int(self.steps[-1] - self.steps[0]) if len(self) else 0

    def recent(self, most: int) -> "Curve":
        """The last values that come from steps without a gap, `most` at most."""
        breaks = np.flatnonzero(np.diff(self.steps) != 1)
        start = max(len(self) - most, 0, int(breaks[-1]) + 1 if len(breaks) else 0)
        return Curve(self.steps[start:], self.values[start:], self.rates[start:])


def median(values: Sequence[float] | np.ndarray) -> float:
    return float(np.median(values))


def spread(values: Sequence[float] | np.ndarray) -> float:
    """Standard deviation as the median absolute deviation gives it, which outliers do not move."""
    return SIGMA * median(np.abs(np.asarray(values) - np.median(values)))


def smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Running median over `width` values, or over all where there are fewer; shape (len - width + 1,)."""
    return np.median(sliding_window_view(values, min(width, len(values))), axis=-1)


def comes_down(heights: np.ndarray, *, to: float) -> bool:
    """Whether the last third is lower than `to` times the first: what falls is on its way to recovery."""
    third = max(1, len(heights) // 3)
    return median(heights[-third:]) < to * median(heights[:third])
