"""Which incident explains which: one event has one root, and the other symptoms hang below it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from torchvitals.core.finding import Incident, Severity

EXPLAINS: Mapping[str, frozenset[str]] = {
    "TV301": frozenset({"TV101", "TV201", "TV202"}),  # twins learn nothing of their own, or nothing at all
    "TV203": frozenset({"TV101", "TV201", "TV202"}),  # whatever is seen after the first NaN follows from it
    "TV202": frozenset(
        {"TV101", "TV203", "TV201"}
    ),  # growing gradients throw weights until units die or overflow
    "TV101": frozenset({"TV201"}),  # a silent layer lets no gradient through
}
"""Codes that each code can be the reason for; cycles are broken by the onset."""


def attribute(incidents: Iterable[Incident]) -> tuple[Incident, ...]:
    """Fill in `explains` and `explained_by`, and sort: worst root first, each followed by what it explains.

    An incident is explained by the earliest one that can be the reason for it and did not begin after it.
    """
    found = sorted(incidents, key=lambda i: (i.onset, _rank(i.code)))
    parent: dict[str, str] = {}
    for child in found:
        reasons = (r.code for r in found if _explains(r, child) and parent.get(r.code) != child.code)
        reason = next(reasons, None)
        if reason is not None:
            parent[child.code] = parent.get(reason, reason)
    told = [
        replace(
            i, explained_by=parent.get(i.code), explains=tuple(c for c, r in parent.items() if r == i.code)
        )
        for i in found
    ]
    roots = sorted((i for i in told if i.explained_by is None), key=lambda i: (-i.severity, i.onset))
    return tuple(i for root in roots for i in (root, *(c for c in told if c.explained_by == root.code)))


def _explains(reason: Incident, child: Incident) -> bool:
    """A mere note explains nothing that is worse than itself."""
    possible = child.code in EXPLAINS.get(reason.code, ())
    return (
        possible and reason.onset <= child.onset and reason.severity >= min(child.severity, Severity.WARNING)
    )


def _rank(code: str) -> int:
    """Of two incidents with one onset, the one that explains more comes first."""
    return -len(EXPLAINS.get(code, ()))
