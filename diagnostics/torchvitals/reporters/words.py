"""The phrases of every report; without them each reporter would put the same thing in other words."""

import textwrap
from collections.abc import Sequence

from torchvitals.core.finding import Evidence, Incident
from torchvitals.core.summary import Cost, Coverage

WIDTH = 88


def clean(text: object) -> str:
    """One line without control characters: names and messages come from outside and may hold escape codes."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(str(text).split()))


def block(label: str, text: str, *, label_at: int = 2, text_at: int = 10) -> list[str]:
    """A label and the text wrapped beside it, each in its column. Names are never broken: they get copied."""
    return textwrap.wrap(
        clean(text),
        WIDTH,
        initial_indent=(" " * label_at + label).ljust(text_at),
        subsequent_indent=" " * text_at,
        break_long_words=False,
        break_on_hyphens=False,
    )


def places(where: Sequence[str], *, most: int = 3) -> str:
    """The worst places by name and the others by number."""
    rest = f" (+{len(where) - most} more)" if len(where) > most else ""
    return clean(", ".join(where[:most]) + rest)


def title(incident: Incident) -> str:
    return clean(f"{incident.code} {incident.name}")


def headline(incident: Incident) -> str:
    """Severity, name and the worst place."""
    at = f" at {places(incident.where, most=1)}" if incident.where else ""
    return f"{incident.severity.name} {title(incident)}{at}"


def times(incident: Incident, *, last_seen: bool = False) -> str:
    """When it was born, on demand when it was last seen, and when it was over if it is."""
    seen = f", last seen at step {incident.last_seen}" if last_seen else ""
    resolved = f", resolved at step {incident.resolved}" if incident.resolved is not None else ""
    return f"since step {incident.onset}{seen}{resolved}"


def numbers(evidence: Evidence) -> str:
    """The evidence in four digits, each number in one word that is never broken."""
    shown = {k: f"{value:.4g}" if isinstance(value, float) else value for k, value in evidence.items()}
    return ", ".join(f"{key}={value}" for key, value in shown.items())


def looks(coverage: Coverage) -> str:
    rows = ", ".join(f"{kind}={rows}" for kind, rows in coverage.measured.items())
    return f"{coverage.looks} looks in {coverage.steps} steps" + (f"; rows: {rows}" if rows else "")


def price(cost: Cost) -> str:
    if cost.run_seconds <= 0:
        return "not known: no step was timed"
    return f"{cost.share:.1%} of the run ({cost.monitor_seconds:.3g} s of {cost.run_seconds:.3g} s)"
