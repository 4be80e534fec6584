"""The losses that a window remembers, as they were told: all that most questions about a run are about."""

import math
from dataclasses import dataclass

import numpy as np

from torchvitals.core.snapshot import remembered
from torchvitals.core.window import Window


@dataclass(frozen=True)
class Losses:
    """The finite ones, oldest first."""

    steps: np.ndarray
    values: np.ndarray
    looked: np.ndarray
    """which of these steps were looked at"""

    @staticmethod
    @remembered
    def of(window: Window) -> "Losses":
        told = [(s, x) for s in window.snapshots if (x := s.loss) is not None and math.isfinite(x)]
        return Losses(
            np.array([s.step for s, _ in told], int),
            np.array([x for _, x in told], float),
            np.array([bool(s.tables) for s, _ in told], bool),
        )

    def __len__(self) -> int:
        return len(self.values)
