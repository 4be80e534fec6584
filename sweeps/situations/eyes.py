"""torchvitals as the eyes of a training: everything installed, at its defaults, as a user has it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torchvitals
from sweeps.situations.training import Training
from torchvitals import Incident, Snapshot, Summary
from torchvitals.adapters.loop import Vitals


@dataclass
class Record:
    """A reporter that keeps what it is told of one training."""

    snapshots: list[Snapshot] = field(default_factory=list)
    news: list[tuple[int, Incident]] = field(default_factory=list)
    """incidents that opened, grew worse or were resolved, each with the step at which that was told"""
    summary: Summary = field(default_factory=lambda: Summary(verdict="no data"))
    """the run as told at its end"""

    def on_snapshot(self, snapshot: Snapshot) -> None:
        self.snapshots.append(snapshot)

    def on_incident(self, incident: Incident) -> None:
        self.news.append((self.snapshots[-1].step, incident))

    def on_close(self, summary: Summary) -> None:
        self.summary = summary


@contextmanager
def vitals(training: Training, record: Record | None = None) -> Iterator[Vitals]:
    """Watch with all built-ins; a mistake of ours raises, since here it would spoil the figures."""
    reporters = [record] if record is not None else []
    with torchvitals.watch(
        training.model, training.optimizers, reporters=reporters, scaler=training.scaler, strict=True
    ) as watching:
        yield watching
