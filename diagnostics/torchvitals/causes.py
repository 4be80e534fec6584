"""Which incident explains which: one event has one root, and the other symptoms hang below it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from torchvitals.core.finding import Incident, Severity

EXPLAINS: Mapping[str, frozenset[str]] = {
    "TV301": frozenset({"TV101", "TV201", "TV202"}),  # twins learn nothing of their own, or nothing at all
    "TV203": frozenset({"TV101", "TV201", "TV202"}),  # whatever is seen after the first NaN follows from it
    # growing gradients throw weights until units die or overflow
    "TV202": frozenset({"TV101", "TV203", "TV201"}),
    "TV201": frozenset({"TV101"}),  # where the signal shrinks to nothing, all samples look alike to a unit
    "TV101": frozenset({"TV201"}),  # a silent layer lets no gradient through
}
"""Codes that each code can be the reason for. The onset breaks cycles; at one onset, the order here does."""


def attribute(incidents: Iterable[Incident]) -> tuple[Incident, ...]:
    """Fill in `explains` and `explained_by`, and sort: worst root first, each followed by what it explains.

    An incident is explained by the earliest one that can be the reason for it and did not begin after it.
    """
    found = sorted(incidents, key=lambda i: (i.onset, _rank(i.code), i.code))
    parent: dict[str, str] = {}
    for place, child in enumerate(found):
        # Only what stands before it: so no chain is a circle, and a reason's own root is known by now.
        reason = next((r.code for r in found[:place] if _explains(r, child)), None)
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
    return possible and reason.severity >= min(child.severity, Severity.WARNING)


def _rank(code: str) -> int:
    """Of two incidents with one onset, the one further up in `EXPLAINS` comes first."""
    return list(EXPLAINS).index(code) if code in EXPLAINS else len(EXPLAINS)
