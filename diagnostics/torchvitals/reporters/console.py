"""Speaks in the terminal during the training; without it one would learn of an illness at the end."""

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TextIO

from torchvitals.core.engine import PartFailed
from torchvitals.core.finding import Incident, Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.summary import Summary
from torchvitals.reporters.footer import meaning
from torchvitals.reporters.text import render, verdict
from torchvitals.reporters.words import WIDTH, block, count, headline, line, times, title

STYLES = {
    r"\bCRITICAL\b": "bold red",
    r"\bWARNING\b": "bold yellow",
    r"\bINFO\b": "cyan",
    r"(?m)^torchvitals\b.*": "bold",
    r"\bresolved\b": "green",
}


class ConsoleReporter:
    """Prints an incident when it opens, worsens or is resolved, and the report at the end (or,
    without `report`, one line).

    A healthy run prints one line when it is over. Of one code no more than `most` blocks are printed before
    the report, and nothing that is only INFO, except that a part of torchvitals failed. Colours need a
    terminal and rich; the text is the same.
    """

    def __init__(self, stream: TextIO | None = None, *, most: int = 3, report: bool = True) -> None:
        self._stream = stream
        self._most = most
        self._report = report
        self._printed: Counter[str] = Counter()
        self._known: dict[str, Severity] = {}

    def on_resume(self, step: int, incidents: Sequence[Incident]) -> None:
        self._known = {incident.code: incident.severity for incident in incidents}

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Numbers of single steps are not for the terminal."""

    def on_incident(self, incident: Incident) -> None:
        silent = incident.severity == Severity.INFO and incident.code != PartFailed.code
        if silent or self._printed[incident.code] > self._most:
            return
        self._printed[incident.code] += 1
        if self._printed[incident.code] > self._most:
            self._print(f"torchvitals: more of {incident.code} will be in the report")
            return
        self._print("\n".join(_compact(incident, news=self._news(incident))))

    def on_close(self, summary: Summary) -> None:
        if self._report and any(incident.severity > Severity.INFO for incident in summary.incidents):
            self._print(f"\n{render(summary)}\n")
        elif summary.verdict == "no data":
            self._print(render(summary))
        else:
            self._print(_closing(summary))
            for path in summary.captures:
                self._print("\n".join(block("captured", path, label_at=0)))

    def _news(self, incident: Incident) -> str:
        before = self._known.get(incident.code)
        self._known[incident.code] = incident.severity
        return "worse" if before is not None and incident.severity > before else ""

    def _print(self, text: str) -> None:
        stream = self._stream or sys.stderr
        if stream is None:  # a windowed process has no terminal
            return
        encoding = getattr(stream, "encoding", None) or "utf-8"
        text = text.encode(encoding, "replace").decode(encoding)
        if not (stream.isatty() and _print_in_colour(text, stream)):
            print(text, file=stream, flush=True)


def _compact(incident: Incident, *, news: str) -> list[str]:
    """A few lines: what it is, and for a root also why and what to do first."""
    if incident.code == PartFailed.code:
        return [line(f"torchvitals: {incident.message}")]
    if incident.resolved is not None:
        over = f"resolved at step {incident.resolved}: {title(incident)}, since step {incident.onset}"
        return [line(f"torchvitals: {over}")]
    label = f"torchvitals: {news} " if news else "torchvitals: "
    follows = f", follows from {incident.explained_by}" if incident.explained_by is not None else ""
    lines = [line(f"{label}{headline(incident)}, {times(incident)}{follows}")]
    if follows:
        return lines
    lines += block("what", incident.now or incident.message) + block("why", incident.cause)
    for remedy in incident.remedies[:1]:
        lines += block("do", remedy.text)
        if remedy.overrides:
            lines += block("", " ".join(remedy.overrides), text_at=12)
    return lines


def _closing(summary: Summary) -> str:
    """The run in one line; what `healthy` stands for only where it fits."""
    coverage = summary.coverage
    blind = f", {count(len(coverage.blind), 'blind spot')}" if coverage.blind else ""
    cost = f"{summary.cost.share:.1%}" if summary.cost.run_seconds > 0 else "not known"
    seen = f"looked at {coverage.looks} of {count(coverage.steps, 'step')}{blind}; cost {cost}"
    longer = f"{verdict(summary)}, {meaning(summary)} ({seen})"
    fits = meaning(summary) and len(longer) <= WIDTH
    return longer if fits else line(f"{verdict(summary)} ({seen})")


def _print_in_colour(text: str, stream: TextIO) -> bool:
    """Print through rich; False when it is not installed. `Text` is not parsed: no name can act as markup."""
    try:
        from rich.console import Console
        from rich.text import Text
    except ImportError:
        return False
    styled = Text(text)
    for pattern, style in STYLES.items():
        styled.highlight_regex(pattern, style)
    Console(file=stream, highlight=False, soft_wrap=True).print(styled)
    return True
