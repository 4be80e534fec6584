"""torchvitals as a judge among judges, whole or with one diagnostic taken away."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor

from sweeps.scorecard import outcome
from sweeps.scorecard.outcome import Alert, Outcome
from sweeps.situations.eyes import vitals
from sweeps.situations.training import Training
from torchvitals import Finding, Incident, Severity, registry
from torchvitals.adapters.loop import Vitals
from torchvitals.incidents import IncidentBook
from torchvitals.judge import Judge
from torchvitals.reporters.memory import MemoryReporter

NAME = "torchvitals"


class Ours:
    """The eyes of one training."""

    def __init__(self, watching: Vitals, record: MemoryReporter) -> None:
        self._watching, self._record = watching, record
        self.gradients_ready = watching.gradients_ready
        self.validation = watching.validation

    def step(self, loss: Tensor | float | None = None) -> None:
        self._watching.step(loss)

    def outcome(self) -> Outcome:
        return _concluded(self._record.news, self._record.summary.incidents)

    def ablated(self) -> Iterator[tuple[str, Outcome]]:
        """For each diagnostic that found anything, what would have been said without it: the same findings,
        followed again.
        """
        found = _judgements(self._record)
        for code in sorted({f.code for _, _, findings in found for f in findings}):
            book = IncidentBook()
            news = []
            for step, looked, findings in found:
                kept = [f for f in findings if f.code != code]
                news += [(step, incident) for incident in book.follow(kept, step, looked=looked)]
            yield code, _concluded(news, book.incidents)


@contextmanager
def _open(training: Training) -> Iterator[Ours]:
    record = MemoryReporter()
    with vitals(training, record) as watching:
        yield Ours(watching, record)


def _judgements(record: MemoryReporter) -> list[tuple[int, bool, list[Finding]]]:
    """Of each step, whether its tables can acquit, and what all diagnostics find."""
    judge, told = Judge(registry.resolve(None)), []
    for snapshot in record.snapshots:
        judge.take_in(snapshot)
        told.append((snapshot.step, snapshot.judgeable, judge.findings))
    return told


def _concluded(news: Iterable[tuple[int, Incident]], incidents: Iterable[Incident]) -> Outcome:
    """Every incident that was told as a root above INFO is an alert, whatever became of it later."""
    alerts: dict[str, Alert] = {}
    for step, incident in news:
        if _alarms(incident) and incident.resolved is None:
            alerts.setdefault(incident.code, _alert(incident, step))
    worst = next((i for i in incidents if _alarms(i)), None)
    return Outcome(alerts=tuple(alerts.values()), root=_alert(worst, worst.last_seen) if worst else None)


def _alarms(incident: Incident) -> bool:
    return incident.severity > Severity.INFO and incident.explained_by is None


def _alert(incident: Incident, step: int) -> Alert:
    return Alert(
        step=step,
        rule=f"{incident.code} {incident.name}",
        codes=(incident.code,),
        where=incident.where,
        cause=f"{incident.cause}: {incident.message}",
    )


OURS = outcome.Judge(name=NAME, open=_open, alone=True, source="this repository")
