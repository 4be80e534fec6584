"""Keeps a run in memory, for code that watches a training and looks at it afterwards."""

from dataclasses import dataclass, field

from torchvitals.core.finding import Incident
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.summary import Summary


@dataclass
class MemoryReporter:
    """Everything that a reporter is told. It grows with the run: for long ones use the JSONL reporter."""

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
