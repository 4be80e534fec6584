"""Which steps are looked at closely: all at the start, where illness is usually born, then ever fewer."""

from dataclasses import dataclass

from torchvitals.core.errors import FieldError


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Every step below `dense`; from there gaps of 2, 4, 8, ... each lasting as long as all before, up to
    `every`.

    It depends on the step alone, so that all ranks agree. `Schedule(dense=0, every=1)` looks at every step.
    """

    dense: int = 16
    """first steps, all of them due; 0 or more"""
    every: int = 64
    """widest gap between due steps; 1 or more"""

    def __post_init__(self) -> None:
        if self.dense < 0:
            raise FieldError("Schedule.dense", self.dense, "a whole number from 0")
        if self.every < 1:
            raise FieldError("Schedule.every", self.every, "a whole number from 1")

    def due(self, step: int) -> bool:
        if step < self.dense:
            return True
        gap = 1 << (step // self.dense).bit_length() if self.dense else self.every
        return step % min(self.every, gap) == 0
