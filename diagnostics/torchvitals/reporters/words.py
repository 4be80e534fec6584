"""The phrases of every report; without them each reporter would put the same thing in other words."""

import re
import textwrap
from collections.abc import Sequence

from torchvitals.core.finding import Evidence, Incident
from torchvitals.core.summary import Cost

WIDTH = 80


def clean(text: object) -> str:
    """One line without control characters: names and messages come from outside and may hold escape codes."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(str(text).split()))


def block(label: str, text: str, *, label_at: int = 2, text_at: int = 10) -> list[str]:
    """A label and the text wrapped beside it, each in its column. Names are never broken: they get copied."""
    return _wrapped(clean(text), first=(" " * label_at + label).ljust(text_at), rest=" " * text_at)


def line(text: str) -> str:
    """One statement; what does not fit in the width goes on below, in the column of the texts."""
    glued = re.sub(r"since step (?=\d)|follows from ", _glue, clean(text))
    return "\n".join(_wrapped(glued, rest=" " * 10)).replace("\xa0", " ")


def _glue(words: re.Match[str]) -> str:
    """Unbreakable: `step` and its number belong together."""
    return words[0].replace(" ", "\xa0")


def _wrapped(text: str, *, rest: str, first: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def count(number: int, noun: str, plural: str = "") -> str:
    """A number and its noun, such as `1 step` and `2 steps`."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def places(where: Sequence[str], *, most: int = 3) -> str:
    """The worst places by name and the others by number."""
    rest = f" (+{len(where) - most} more)" if len(where) > most else ""
    return clean(", ".join(map(place, where[:most])) + rest)


def place(name: str) -> str:
    """Modules of a `Sequential` are called `2` or `0.1`, which nobody would take for a name."""
    return f"module {name!r}" if name.replace(".", "").isdigit() else name


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


def size(of_bytes: float) -> str:
    """Such as `432 B`, `51 kB` or `1.2 MB`."""
    power = 0
    while of_bytes >= 1000 and power < 3:
        of_bytes, power = of_bytes / 1000, power + 1
    return f"{of_bytes:.3g} {('B', 'kB', 'MB', 'GB')[power]}"


def numbers(evidence: Evidence) -> str:
    """The evidence in four digits, each number in one word that is never broken."""
    shown = {k: f"{value:.4g}" if isinstance(value, float) else value for k, value in evidence.items()}
    return ", ".join(f"{key}={value}" for key, value in shown.items())


def price(cost: Cost) -> str:
    if cost == Cost():
        return "not known: it is recorded when the run is closed"
    if cost.run_seconds <= 0:
        return "not known: no step was timed"
    return f"{cost.share:.1%} of the run ({cost.monitor_seconds:.3g} s of {cost.run_seconds:.3g} s)"
