"""The course of a loss as a window remembers it: every recent step, and ever fewer of the older ones."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from torchvitals.builtin.parts.middle import median
from torchvitals.core.snapshot import remembered
from torchvitals.core.window import Window

UNTOLD = "Nobody told the loss, so that its course was not judged."
HUGEST = 1e150
"""Beyond it numbers are cut off, so that no mean of two of them overflows."""
FIRST = 3
"""Losses at the very start that are the level of an untrained net."""


@dataclass(frozen=True)
class Curve:
    """The finite values of one scalar, oldest first; a NaN or Inf is no basis for a comparison."""

    steps: np.ndarray
    values: np.ndarray
    rates: np.ndarray
    """learning rate of each of these steps, 1 where nobody told it"""

    @staticmethod
    @remembered
    def of(window: Window, name: str = "loss") -> "Curve":
        told = [s for s in window.snapshots if math.isfinite(s.scalars.get(name, math.nan))]
        values = np.array([s.scalars[name] for s in told], float)
        rates = [s.scalars.get("lr", 1.0) for s in told]
        return Curve(np.array([s.step for s in told], int), _cut_off(values), np.array(rates, float))

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
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


def _cut_off(values: np.ndarray) -> np.ndarray:
    return np.minimum(np.maximum(values, -HUGEST), HUGEST)
