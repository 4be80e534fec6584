"""What the search for the origin of a NaN hands around, and how it reads tables."""

from dataclasses import dataclass

import numpy as np

from torchvitals.core.finding import Remedy
from torchvitals.core.snapshot import Snapshot, remembered


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where the first NaN or Inf of a step was born, and what a finding says of it."""

    place: str
    where: tuple[str, ...]
    message: str
    cause: str
    remedies: tuple[Remedy, ...]
    evidence: dict[str, float | int | str]


@remembered
def bad_rows(look: Snapshot, kind: str) -> list[int]:
    """Rows of the table of that kind which hold NaN or Inf."""
    return [int(i) for i in np.flatnonzero(look[kind]["nonfinite"])] if kind in look else []


def bad_names(look: Snapshot, kind: str) -> tuple[str, ...]:
    """Their names, in execution order."""
    return tuple(look[kind].names[i] for i in bad_rows(look, kind))


def bad_loss(look: Snapshot) -> bool:
    """Whether the loss was told and is NaN or Inf."""
    return look.loss is not None and not np.isfinite(look.loss)
