"""torchvitals as a watcher: at its defaults, and its always-on tier alone."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor

import torchvitals
from sweeps.bench.timing import Watcher
from sweeps.bench.training import Eye, Training
from torchvitals import Schedule, Snapshot, Vitals
from torchvitals.core.finding import Incident
from torchvitals.core.summary import Summary

NAME = "torchvitals"
ALWAYS_ON = "always-on"
STEPS = 1000
"""Length of the run for which overhead is told."""
NEVER = Schedule(dense=1, every=10**9)
"""Due at the first step and at no other."""
SCHEDULES: Mapping[str, Schedule] = {NAME: Schedule(), ALWAYS_ON: NEVER}
"""The two settings that are measured."""


class Looks:
    """A reporter that keeps which steps were looked at, and the latest look."""

    def __init__(self) -> None:
        self.due: dict[int, bool] = {}
        self.latest: Snapshot | None = None
        self.incidents: list[Incident] = []

    def on_snapshot(self, snapshot: Snapshot) -> None:
        self.due[snapshot.step] = snapshot.due
        if snapshot.due:
            self.latest = snapshot

    def on_incident(self, incident: Incident) -> None:
        self.incidents.append(incident)

    def on_close(self, summary: Summary) -> None:
        pass


class Ours(Eye):
    def __init__(self, vitals: Vitals, looks: Looks, schedule: Schedule) -> None:
        self.vitals, self.looks = vitals, looks
        self._schedule = schedule

    def step(self, loss: Tensor) -> None:
        self.vitals.step(loss)

    def kind(self, step: int) -> str:
        if not self.looks.due.get(step):
            return "quiet"
        return "look" if self._schedule.due(step) else "armed"


def watcher(name: str = NAME, schedule: Schedule | None = None) -> Watcher:
    """As in the README, but silent."""
    schedule = schedule or Schedule()

    @contextmanager
    def opened(training: Training) -> Iterator[Ours]:
        looks = Looks()
        with torchvitals.watch(
            training.model, training.optimizer, reporters=[looks], schedule=schedule
        ) as vitals:
            yield Ours(vitals, looks, schedule)

    return Watcher(name=name, open=opened)


def counts(schedule: Schedule, steps: int = STEPS, first: int = 0) -> dict[str, int]:
    """How many steps of a run are due, and how many are not, from `first` on."""
    due = sum(schedule.due(step) for step in range(first, steps))
    return {"look": due, "quiet": steps - first - due}
