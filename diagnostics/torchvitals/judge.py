"""Snapshots in, incidents out: the half of the engine that needs no model, and that replay uses alone."""

from collections.abc import Iterable, Mapping
from typing import Any

from torchvitals.builtin.parts.start import start_of
from torchvitals.core.finding import Finding, Incident
from torchvitals.core.protocols import Diagnostic, Reporter, Resuming
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.summary import Coverage, Summary, verdict_of
from torchvitals.core.window import Window
from torchvitals.guard import Guard
from torchvitals.incidents import IncidentBook, worth_judging


class Judge:
    """Lets diagnostics judge the window after every snapshot and tells reporters what is new."""

    def __init__(
        self,
        diagnostics: Iterable[Diagnostic],
        reporters: Iterable[Reporter] = (),
        *,
        guard: Guard | None = None,
    ) -> None:
        self.diagnostics = list(diagnostics)
        self.reporters = list(reporters)
        self.window = Window()
        self.findings: list[Finding] = []
        """all that was found in the latest window, notes and symptoms included"""
        self._guard = guard or Guard(strict=True)
        self._book = IncidentBook()
        self._measured: dict[str, int] = {}
        self._looks = self._fed = 0

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """Worst root first, each followed by what it explains."""
        return self._book.incidents

    def take_in(self, snapshot: Snapshot) -> list[Incident]:
        """Judge the window that ends with this snapshot; returns the incidents that are news."""
        self.window = self.window.add(snapshot)
        if snapshot.due:
            self._looks += 1
            self._fed += "gradient_norm" in snapshot.scalars
            self._measured |= {kind: len(table) for kind, table in snapshot.tables.items()}
        self.findings = self._found()
        news = self._book.follow(self.findings, snapshot.step, looked=snapshot.judgeable)
        for reporter in tuple(self.reporters):
            with self._guard.over(reporter, self.reporters):
                reporter.on_snapshot(snapshot)
                for incident in news:
                    reporter.on_incident(incident)
        return news

    def close(self, summary: Summary) -> None:
        for reporter in tuple(self.reporters):
            with self._guard.over(reporter, self.reporters):
                reporter.on_close(summary)

    def summary(self, *, steps: int, blind: Iterable[str] = ()) -> Summary:
        """The run so far; the caller knows its steps and what else could not be seen."""
        coverage = Coverage(
            steps=steps,
            looks=self._looks,
            measured=dict(self._measured),
            judged=tuple(diagnostic.name for diagnostic in self.diagnostics),
            blind=tuple(dict.fromkeys([*blind, *self._blind()])),
        )
        verdict = verdict_of(self.incidents, looks=self._fed, judges=len(self.diagnostics))
        start = None
        with self._guard.over("start"):
            start = start_of(self.window)
        return Summary(verdict=verdict, incidents=self.incidents, coverage=coverage, start=start)

    def state(self) -> dict[str, Any]:
        """All that was seen and found, as plain values; bounded as the window is."""
        return {
            "snapshots": [snapshot.to_dict() for snapshot in self.window.snapshots],
            "book": self._book.to_dict(),
            "measured": self._measured,
            "looks": self._looks,
            "fed": self._fed,
        }

    def restore(self, state: Mapping[str, Any], *, step: int) -> None:
        """Go on before `step` from where `state` was taken, and let reporters do so that can."""
        window = Window(tuple(Snapshot.from_dict(s) for s in state["snapshots"]))
        book = IncidentBook.from_dict(state["book"])
        self._measured, self._looks, self._fed = dict(state["measured"]), state["looks"], state["fed"]
        self.window, self._book = window, book
        for reporter in tuple(self.reporters):
            with self._guard.over(reporter, self.reporters):
                if isinstance(reporter, Resuming):
                    reporter.on_resume(step, self.incidents)

    def _found(self) -> list[Finding]:
        findings = list(self._guard.failures.values())  # as long as the part stays off
        if worth_judging(self.window):
            for diagnostic in tuple(self.diagnostics):
                with self._guard.over(diagnostic, self.diagnostics):
                    findings.extend(map(_checked, diagnostic.diagnose(self.window)))
        return findings

    def _blind(self) -> Iterable[str]:
        for diagnostic in tuple(self.diagnostics):
            with self._guard.over(diagnostic, self.diagnostics):
                if (sentence := diagnostic.blind(self.window)) is not None:
                    yield sentence
        if self._looks and not self._fed and "sharded" not in self.window.latest.labels:
            yield "No parameter had a gradient at any look: nothing was trained, or nobody told."
        yield from (failure.message for failure in self._guard.failures.values())


def _checked(finding: Any) -> Finding:
    if not isinstance(finding, Finding):
        raise TypeError(f"diagnose gave {finding!r}, which is no Finding")
    return finding
