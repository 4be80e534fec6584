"""Which incident explains which: one event has one root, and the other symptoms hang below it."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from torchvitals.core.finding import Incident, Severity

_STALLED = frozenset({"TV105", "TV403"})
"""Units that fall asleep and a loss that stays where it is: they follow from most illnesses."""
_THROWN = frozenset({"TV101", "TV102", "TV103", "TV104", "TV201", "TV202", "TV203", "TV307"}) | _STALLED
"""What weights are like that were thrown away by steps too large."""
_CURVES = frozenset({"TV401", "TV402", "TV407"})
"""What the curve of the loss shows of it."""

EXPLAINS: Mapping[str, frozenset[str]] = {
    # data
    "TV501": frozenset({"TV203", "TV103", "TV204"}) | _CURVES | _STALLED,
    "TV502": (_THROWN - {"TV203"}) | _CURVES | {"TV302", "TV303", "TV308", "TV404"},
    "TV503": frozenset({"TV101", "TV302", "TV406"}) | _CURVES | _STALLED,
    # ranks
    "TV602": frozenset({"TV203", "TV302"}) | _CURVES | _STALLED,
    "TV601": _CURVES | _STALLED,
    # wiring
    "TV305": frozenset({"TV204", "TV303", "TV306", "TV405"}) | _STALLED,
    "TV306": frozenset({"TV204", "TV303", "TV304"}) | _STALLED,
    "TV206": frozenset({"TV302"}) | _THROWN | _CURVES,
    "TV106": frozenset({"TV405", "TV406"}) | _STALLED,
    "TV405": frozenset(
        {"TV101", "TV103", "TV106", "TV201", "TV203", "TV204", "TV302", "TV303", "TV404", "TV406"}
    )
    | _CURVES
    | _STALLED,
    # how the training was begun
    "TV301": frozenset({"TV101", "TV102", "TV103", "TV201", "TV202", "TV204", "TV303", "TV308"}) | _STALLED,
    "TV308": frozenset({"TV302", "TV303", "TV404", "TV204"}) | _THROWN | _CURVES,
    "TV104": frozenset({"TV101", "TV102", "TV202", "TV203", "TV302", "TV404"}) | _CURVES | _STALLED,
    "TV404": frozenset({"TV302"}) | _CURVES,
    # precision
    "TV205": frozenset({"TV203", "TV204", "TV303", "TV306"}) | _STALLED,
    "TV304": frozenset({"TV303", "TV306"}) | _STALLED,
    # dynamics; whatever is seen after the first NaN follows from it
    "TV203": (_THROWN - {"TV203"}) | _CURVES | {"TV204", "TV205", "TV302", "TV303", "TV306"},
    "TV202": frozenset({"TV101", "TV102", "TV103", "TV201", "TV203", "TV302", "TV307", "TV404"})
    | _CURVES
    | _STALLED,
    "TV302": _THROWN | _CURVES | {"TV104"},
    "TV402": _THROWN | {"TV104", "TV401", "TV407"},
    "TV207": frozenset({"TV303"}) | _STALLED,
    "TV307": frozenset({"TV101", "TV103", "TV104", "TV201", "TV202", "TV203", "TV302", "TV303"})
    | _CURVES
    | _STALLED,
    # what the layers do to the signal; where it shrinks to nothing, all samples look alike to a unit
    "TV102": frozenset({"TV101", "TV103", "TV201", "TV303"}) | _STALLED,
    "TV201": frozenset({"TV101", "TV103", "TV204", "TV303"}) | _STALLED,
    "TV103": frozenset({"TV101", "TV201", "TV204", "TV303"}) | _STALLED,
    "TV101": frozenset({"TV103", "TV201", "TV204", "TV303"}) | _STALLED,
    "TV204": frozenset({"TV103", "TV201", "TV303", "TV306"}) | _STALLED,
    # what the curve of the loss shows
    "TV303": _STALLED,
    "TV407": frozenset({"TV401"}) | _STALLED,
    "TV401": _STALLED,
    "TV403": frozenset({"TV105"}),
    "TV105": frozenset(),
}
"""Codes that each code can be the reason for. The onset breaks cycles; at one onset, the order here does:
data and wiring before the start of the training, and that before its dynamics.
"""

LATENT = frozenset({"TV302", "TV305", "TV308", "TV404", "TV502"})
"""Codes whose notes can be the reason for something worse. Many healthy runs live with unscaled data, large
updates, or an optimizer for the head alone; but where one falls ill of what they are known to do, they are
the root, and as grave as it.
"""

HARMLESS = frozenset({"classes that never occur", "log_softmax before cross_entropy"})
"""Causes of notes that are the reason for nothing: an unused logit, a log_softmax of a log_softmax."""

WRITTEN = frozenset(
    {"TV106", "TV204", "TV206", "TV207", "TV302", "TV303", "TV304", "TV305", "TV306", "TV405", "TV503"}
)
"""Codes of what stands in the code or its settings: seen within the first steps, it was there at once."""
FIRST_STEPS = 16
"""Steps that count as the first ones."""
UNSURE = 1 / 8
"""Part of its step by which a later onset may be too late: so far apart are the looks."""


STEPS = frozenset({"TV206", "TV207", "TV302", "TV303", "TV304", "TV306", "TV307"}) | _CURVES
"""Codes of what happens to the weights: nothing that was there before the first update follows from it."""
BORN = frozenset(
    {"TV101", "TV102", "TV103", "TV104", "TV201", "TV202", "TV203", "TV301", "TV308", "TV404", "TV405"}
)
"""Codes of what can be there before the first update, and is where its onset is 0."""


def attribute(incidents: Iterable[Incident]) -> tuple[Incident, ...]:
    """Fill in `explains` and `explained_by`, and sort: worst root first, each followed by what it explains.

    An incident is explained by the earliest one that can be the reason for it and did not begin after it;
    where there is none, by a note that lay in wait. No root is milder than what follows from it. They are
    to come as diagnostics gave them: a note that is as grave as its symptom might explain more the next time.
    """
    found = sorted(incidents, key=lambda i: (_began(i), _rank(i.code), i.code))
    grave = {i.code: i.severity for i in found}
    parent: dict[str, str] = {}
    for place, child in enumerate(found):
        # Only what stands before it: so no chain is a circle, and a reason's own root is known by now.
        possible = [r.code for r in found[:place] if _can_explain(r, child)]
        able = [code for code in possible if grave[code] >= min(child.severity, Severity.WARNING)]
        reason = next(iter([*able, *(code for code in possible if code in LATENT)]), None)
        if reason is None:
            continue
        root = parent.get(reason, reason)
        if not able and root not in LATENT:
            del parent[reason]  # it was a note below a note, and is a root now
            root = reason
        parent[child.code] = root
        grave[root] = grave[reason] = max(grave[root], child.severity)
    told = [_told(i, [c for c in found if parent.get(c.code) == i.code], parent.get(i.code)) for i in found]
    roots = sorted((i for i in told if i.explained_by is None), key=lambda i: (-i.severity, i.onset))
    return tuple(i for root in roots for i in (root, *(c for c in told if c.explained_by == root.code)))


def _told(incident: Incident, children: list[Incident], root: str | None) -> Incident:
    severity = max([incident.severity, *(child.severity for child in children)])
    codes = tuple(child.code for child in children)
    # A note that is as grave as what follows from it lasts as long as that does.
    graver = [child for child in children if child.severity > max(incident.severity, Severity.INFO)]
    resolved = None if any(child.resolved is None for child in graver) else incident.resolved
    return replace(incident, severity=severity, explains=codes, explained_by=root, resolved=resolved)


def _can_explain(reason: Incident, child: Incident) -> bool:
    born = child.onset == 0 and child.code in BORN
    able = child.code in EXPLAINS.get(reason.code, ()) and reason.cause not in HARMLESS
    return able and not (born and reason.code in STEPS)


def _began(incident: Incident) -> float:
    """Onset as it counts for causes: what most illnesses lead to comes after all of them, since it is told of
    the whole run; what stands in the code is there from the start, however many steps it took to be sure.
    """
    if incident.code in _STALLED:
        return math.inf
    if incident.code not in WRITTEN:
        return incident.onset
    return 0 if incident.onset < FIRST_STEPS else (1 - UNSURE) * incident.onset


def _rank(code: str) -> int:
    """Of two incidents with one onset, the one further up in `EXPLAINS` comes first."""
    return list(EXPLAINS).index(code) if code in EXPLAINS else len(EXPLAINS)
