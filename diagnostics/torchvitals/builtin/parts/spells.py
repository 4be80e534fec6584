"""Looks in a row at which updates were brisk: what they add up to matters more than any one of them."""

from collections.abc import Sequence

from torchvitals.builtin.parts.ratios import Ratios

Spell = list[Ratios]
"""Looks in a row with brisk updates, oldest first."""
CALM = 0.5
"""Part of `brisk` down to which a spell lasts under a heavy momentum, which goes on for 30 steps or more."""


def spells(measured: Sequence[Ratios], *, brisk: float, lasts: float = 1.0) -> list[tuple[Spell, bool]]:
    """Each with whether it lasts until the latest finite look; it ends below `lasts` of `brisk`."""
    found: list[Spell] = [[]]
    for ratios in measured:
        if ratios.size > brisk * (lasts if found[-1] else 1.0):
            found[-1].append(ratios)
        elif found[-1]:
            found.append([])
    return [(spell, spell[-1] is measured[-1]) for spell in found if spell]
