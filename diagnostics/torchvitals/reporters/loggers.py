"""Writes to Lightning's loggers; without it users of TensorBoard and CSV files would see nothing."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from torchvitals.core.finding import Incident
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.summary import Summary
from torchvitals.reporters.keys import metrics


class MetricsLogger(Protocol):
    """All that is asked of a logger; every logger of Lightning and of Fabric has it."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> Any: ...


class LoggersReporter:
    """Logs the metric keys of steps with tables, and of one other step in `every`.

    Incidents are words and have no place there: put a `ConsoleReporter` or a `JsonlReporter` beside it.
    """

    def __init__(self, loggers: Iterable[MetricsLogger], *, every: int = 10) -> None:
        self._loggers = tuple(loggers)
        self._every = every

    def on_snapshot(self, snapshot: Snapshot) -> None:
        if snapshot.tables or snapshot.step % self._every == 0:
            found = metrics(snapshot)
            for logger in self._loggers if found else ():
                logger.log_metrics(dict(found), step=snapshot.step)

    def on_incident(self, incident: Incident) -> None:
        """Not a number."""

    def on_close(self, summary: Summary) -> None:
        """Not a number. The loggers belong to the trainer, which saves and closes them."""
