"""Whether the optimizer is made anew all the time, so that it never knows of a step but its first."""

from torchvitals.builtin.parts.smallness import NORMED
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.window import Window

STEPS = 16
"""Latest steps in a row that were all first ones."""


def made_anew(window: Window) -> int | None:
    """Step since which another optimizer of Adam's kind takes the place of the last at every step, or None.

    All `STEPS` latest steps have to be such. New optimizers for new tasks, rounds or epochs are some of many.
    """
    latest = window.snapshots[-STEPS - 1 :]
    if len(latest) <= STEPS or not all(map(_next, latest, latest[1:])):
        return None
    renewed, names = latest[-1].scalars["renewed"], latest[-1].labels.get("optimizer", "").split("+")
    return max(0, latest[-1].step + 1 - int(renewed)) if set(names) <= NORMED else None


def _next(one: Snapshot, other: Snapshot) -> bool:
    """Whether the step after `one` was made by another optimizer."""
    before, now = one.scalars.get("renewed", 0.0), other.scalars.get("renewed", 0.0)
    return now - before == other.step - one.step == 1
