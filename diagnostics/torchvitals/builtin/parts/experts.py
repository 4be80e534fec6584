"""Mixtures of experts: which of them are asked, and whether a router has come to ask always the same."""

import re
from collections.abc import Sequence

from torchvitals.core.snapshot import Snapshot, remembered

EXPERT = re.compile(r"(.*expert[^.]*)\.(\d+)\.", re.IGNORECASE)
"""Path of a parameter of an expert: that of the mixture, and the expert's number."""
LEAST = 4
"""Experts that make a mixture of which it is odd that one does all."""
ALL = 0.95
"""Share of a mixture's entries that counts as all of them."""


def unasked(looks: Sequence[Snapshot]) -> tuple[str, ...]:
    """Experts that got next to nothing in all of these looks together, while a quarter of their mixture, or a
    single one, got all the rest: those that take turns do not. In the order of their mixtures and numbers.
    """
    if not looks or any("activation" not in look or "parameter" not in look for look in looks):
        return ()
    return tuple(name for mixture in _mixtures(looks[-1]) for name in _idle(looks, mixture))


@remembered
def _mixtures(look: Snapshot) -> list[list[str]]:
    groups: dict[str, dict[str, None]] = {}
    for name in look["parameter"].names:
        if match := EXPERT.match(name):
            groups.setdefault(match[1], {}).setdefault(f"{match[1]}.{match[2]}")
    return [list(group) for group in groups.values() if len(group) >= LEAST]


def _idle(looks: Sequence[Snapshot], mixture: Sequence[str]) -> list[str]:
    """Those beside the busiest quarter, if that has all; nothing where nobody was asked."""
    entries = dict.fromkeys(mixture, 0.0)
    for table in (look["activation"] for look in looks):
        for name, count in zip(table.names, table["count"], strict=True):
            if (match := EXPERT.match(f"{name}.")) and f"{match[1]}.{match[2]}" in entries:
                entries[f"{match[1]}.{match[2]}"] += float(count)
    busy = set(sorted(mixture, key=lambda m: -entries[m])[: max(1, len(mixture) // 4)])
    total = sum(entries.values())
    has_all = total > 0 and sum(entries[m] for m in busy) >= ALL * total
    return [m for m in mixture if m not in busy] if has_all else []
