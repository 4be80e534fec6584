"""Validation losses beside the training loss of the same time."""

from dataclasses import dataclass

import numpy as np

from torchvitals.builtin.parts.curve import Curve
from torchvitals.builtin.parts.middle import median
from torchvitals.core.window import Window


@dataclass(frozen=True)
class Pair:
    """Validation losses, and the training loss at about the same steps."""

    steps: np.ndarray
    validation: np.ndarray
    training: np.ndarray
    untrained: float
    """level of the training loss at the very start"""

    @classmethod
    def of(cls, window: Window) -> "Pair | None":
        """None where there is no training loss to compare with."""
        validation, training = Curve.of(window, "val_loss"), Curve.of(window)
        if not len(validation) or not len(training):
            return None
        at = [_around(training, int(step)) for step in validation.steps]
        return cls(validation.steps, validation.values, np.array(at), training.early)

    @property
    def best(self) -> int:
        """Place of the lowest validation loss."""
        return int(np.argmin(self.validation))


def _around(curve: Curve, step: int) -> float:
    """Median of the five losses told nearest to the step."""
    nearest = np.argsort(np.abs(curve.steps - step), kind="stable")[:5]
    return median(curve.values[nearest])
