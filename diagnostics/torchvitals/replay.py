"""Judges recorded snapshots again, perhaps under other thresholds than those of the run."""

from collections.abc import Iterable

from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.summary import Coverage, Summary, verdict_of
from torchvitals.core.window import Window
from torchvitals.incidents import IncidentBook, worth_judging


def judge(snapshots: Iterable[Snapshot], diagnostics: Iterable[Diagnostic]) -> Summary:
    """What the diagnostics would have said at each of these steps; coverage counts what was recorded."""
    window, book, looks = Window(), IncidentBook(), 0
    chosen = tuple(diagnostics)
    for snapshot in snapshots:
        window = window.add(snapshot)
        looks += snapshot.due
        findings = [f for d in chosen for f in d.diagnose(window)] if worth_judging(window) else []
        book.follow(findings, snapshot.step, looked=snapshot.judgeable)
    steps = window.latest.step + 1 if len(window) else 0
    coverage = Coverage(steps=steps, looks=looks, judged=tuple(d.name for d in chosen))
    verdict = verdict_of(book.incidents, looks=looks, judges=len(chosen))
    return Summary(verdict=verdict, incidents=book.incidents, coverage=coverage)
