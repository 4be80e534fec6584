"""The report as plain text; without it `print(vitals.report())` would have nothing to print."""

from collections.abc import Iterator, Mapping

from torchvitals.core.finding import Incident, Severity
from torchvitals.core.summary import Coverage, Summary
from torchvitals.reporters.footer import looked, meaning
from torchvitals.reporters.profile import carries
from torchvitals.reporters.words import block, count, headline, line, numbers, places, price, times, title

Children = Mapping[str, list[Incident]]


def render(summary: Summary) -> str:
    """The whole report: verdict, roots with what follows from each, what was not seen, and the price.

    No line is wider than 80 columns unless one name is.
    """
    return "\n".join([line(verdict(summary)), *incidents(summary.incidents), "", *_edges(summary)])


def verdict(summary: Summary) -> str:
    """The run in one sentence."""
    if summary.verdict == "no data":
        return f"torchvitals: no data - {_why_no_data(summary.coverage)}"
    root = summary.root
    if root is None:
        return f"torchvitals: {summary.verdict}"
    at = f" at {places(root.where, most=1)}" if root.where else ""
    return f"torchvitals: {summary.verdict} - {title(root)}{at} {times(root)}"


def _why_no_data(coverage: Coverage) -> str:
    if coverage.steps == 0:
        return "no optimizer step was seen"
    if coverage.looks == 0:
        return f"{count(coverage.steps, 'step')} went by and none was looked at"
    return "no gradient was seen" if coverage.judged else "no diagnostic judged the run"


def incidents(found: tuple[Incident, ...]) -> Iterator[str]:
    """Trees of cause and effect, then whatever hangs on a cause that is not there."""
    codes = {incident.code for incident in found}
    children: dict[str, list[Incident]] = {}
    for incident in found:
        children.setdefault(incident.explained_by or "", []).append(incident)
    lost = [i for i in found if i.explained_by is not None and i.explained_by not in codes]
    printed: set[int] = set()
    roots = [*children.get("", []), *lost]
    for root in sorted(roots, key=lambda i: i.severity == Severity.INFO):
        yield from _tree(root, children, printed)
    for incident in found:  # only a circle of causes is left
        yield from _tree(incident, children, printed)


def _tree(root: Incident, children: Children, printed: set[int]) -> Iterator[str]:
    if id(root) in printed:
        return
    printed.add(id(root))
    yield ""
    yield from _short(root) if root.severity == Severity.INFO else _full(root)
    yield from _followers(root, children, printed, depth=1)


def _full(incident: Incident) -> Iterator[str]:
    over = "" if incident.resolved is None else " (resolved)"
    yield from block(incident.severity.name, title(incident) + over, label_at=0)
    if incident.where:
        yield from block("where", places(incident.where))
    yield from block("when", times(incident, last_seen=True))
    yield from block("what", incident.message)
    if incident.resolved is None and incident.now not in ("", incident.message):
        yield from block("now", incident.now)
    yield from block("why", incident.cause)
    if incident.evidence:
        yield from block("numbers", numbers(incident.evidence))
    for remedy in incident.remedies:
        yield from block("" if remedy is not incident.remedies[0] else "do", remedy.text)
        if remedy.overrides:
            yield from block("", " ".join(remedy.overrides), text_at=12)


def _short(incident: Incident) -> Iterator[str]:
    yield from block(incident.severity.name, f"{title(incident)}, {times(incident)}", label_at=0)
    at = f"{places(incident.where)}: " if incident.where else ""
    yield from block("", at + incident.message)


def _followers(cause: Incident, children: Children, printed: set[int], *, depth: int) -> Iterator[str]:
    """What follows from an incident, and from that in turn, each step further to the right."""
    for incident in children.get(cause.code, []):
        if id(incident) in printed:
            continue
        printed.add(id(incident))
        at = 2 * depth
        yield from block("so", f"{headline(incident)}, {times(incident)}", label_at=at, text_at=at + 8)
        yield from block("", incident.message, text_at=at + 8)
        yield from _followers(incident, children, printed, depth=depth + 1)


def _edges(summary: Summary) -> Iterator[str]:
    if summary.start is not None and (told := carries(summary.start)):
        yield from block("start", told, label_at=0)
    yield from block("looked", looked(summary.coverage), label_at=0)
    for number, sentence in enumerate(summary.coverage.blind):
        yield from block("" if number else "not seen", sentence, label_at=0)
    for number, path in enumerate(summary.captures):
        yield from block("" if number else "captured", path, label_at=0)
    yield from block("cost", price(summary.cost), label_at=0)
    yield from block("healthy:", meaning(summary), label_at=0)
