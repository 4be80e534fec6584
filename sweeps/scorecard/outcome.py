"""What a judge said of one training."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from sweeps.situations.training import Eyes, Training


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One thing that a judge raised the alarm for. Notes are no alerts."""

    step: int
    rule: str
    """the judge's own name for it"""
    codes: tuple[str, ...]
    """codes of our catalogue that it stands for: what the judge says is wrong"""
    where: tuple[str, ...] = ()
    """modules or parameters that it names, worst first"""
    cause: str = ""


@dataclass(kw_only=True)
class Outcome:
    """All that a judge said of one training."""

    alerts: tuple[Alert, ...] = ()
    """one for each event, in the order in which they were raised"""
    root: Alert | None = None
    """what the judge says at the end is the cause of it all"""
    error: str = ""
    """what the judge itself raised, or did to the training; empty if nothing"""


class Watching(Eyes, Protocol):
    """Eyes that come to a conclusion."""

    def outcome(self) -> Outcome:
        """Called once, after the training has ended and the eyes were closed."""
        ...


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Somebody who watches trainings and raises alarms."""

    name: str
    open: Callable[[Training], AbstractContextManager[Watching]]
    """watch one training; every training gets a new one"""
    alone: bool = False
    """whether it needs a training to itself, because it could disturb it or other eyes"""
    source: str = field(default="")
    """where its rules are defined"""
