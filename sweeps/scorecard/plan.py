"""Which trainings are tried."""

from collections.abc import Iterator

from sweeps.scorecard.trial import Case
from sweeps.situations.catalogue import situations

QUICK = 4
"""Every how many situations the quick subset takes one."""
TWIN = 100
"""Seed of the clean twins: none that their faults have, so that they add to what is known of the healthy."""


def cases(*, quick: bool = False, seeds: int = 1) -> Iterator[Case]:
    """Every fault at each of its levels, and every control; with more seeds also each fault's clean twin.

    The levels of a fault have seeds of their own. The quick subset takes every fourth situation in the order
    of their names, at its first level.
    """
    names = sorted(situations())
    for name in names[::QUICK] if quick else names:
        situation = situations()[name]
        if situation.healthy:
            yield from (Case(name, None, seed) for seed in range(seeds))
            continue
        levels = situation.levels[:1] if quick else situation.levels
        for seed in range(seeds):
            yield from (Case(name, level, 10 * place + seed) for place, level in enumerate(levels))
        if seeds > 1:
            yield Case(name, None, TWIN)
