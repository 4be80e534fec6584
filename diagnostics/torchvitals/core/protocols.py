"""What a diagnostic and a reporter are: all that a plugin author has to know."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral, Real
from typing import ClassVar, Protocol, runtime_checkable

from torchvitals.core.errors import FieldError
from torchvitals.core.finding import Evidence, Finding, Incident, Remedy, Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.summary import Summary
from torchvitals.core.window import Window


class Documented:
    """What has a code, a name, and a docstring that explains it."""

    code: ClassVar[str]
    """stable, such as "TV201"; plugins choose letters of their own"""
    name: ClassVar[str]
    """such as "vanishing-gradient"; the name it is registered under"""
    needs: ClassVar[frozenset[str]] = frozenset()
    """kinds of tables to measure; the engine measures the union over all diagnostics"""
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {}


class Diagnostic(Documented, ABC):
    """A pure judgement of a window.

    Subclasses are frozen keyword-only dataclasses: their fields are the thresholds. `ranges` gives the closed
    interval of each, which is checked when the object is built.
    """

    def __post_init__(self) -> None:
        for field, (low, high) in self.ranges.items():
            value = getattr(self, field)
            # A threshold whose default is whole counts something.
            sort, noun = (Integral, "whole number") if _whole(type(self), field) else (Real, "number")
            if not (isinstance(value, sort) and low <= value <= high):  # pyright: ignore[reportOperatorIssue]
                raise FieldError(f"{type(self).__name__}.{field}", value, f"a {noun} in [{low}, {high}]")

    @abstractmethod
    def diagnose(self, window: Window) -> Iterator[Finding]:
        """Yield what is wrong with the window; nothing when all is well or too little was seen."""

    def blind(self, window: Window) -> str | None:
        """One sentence when too little was seen to judge: no data is not health. None when all is well."""
        return None

    def finding(
        self,
        severity: Severity,
        *,
        where: tuple[str, ...],
        since: int,
        message: str,
        cause: str,
        evidence: Evidence,
        remedies: tuple[Remedy, ...] = (),
    ) -> Finding:
        """A finding signed with this diagnostic's code and name."""
        return Finding(
            code=self.code,
            name=self.name,
            severity=severity,
            where=where,
            since=since,
            message=message,
            cause=cause,
            evidence=evidence,
            remedies=remedies,
        )


def _whole(cls: type[Diagnostic], field: str) -> bool:
    return isinstance(getattr(cls, field, None), int)


@runtime_checkable
class Reporter(Protocol):
    """Speaks about a run. It decides nothing, returns nothing, and may fail without harm to the training."""

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """A step was measured (due steps have tables, the others only scalars)."""

    def on_incident(self, incident: Incident) -> None:
        """An incident was opened, became worse, or was resolved."""

    def on_close(self, summary: Summary) -> None:
        """The run is over. Called once, also after an exception in the training."""


@runtime_checkable
class Resuming(Protocol):
    """A reporter that has something to do when a run goes on from a checkpoint."""

    def on_resume(self, step: int, incidents: Sequence[Incident]) -> None:
        """The run goes on at `step`, before any snapshot; these incidents were told before."""
