"""Which trainings are tried."""

import hashlib
from collections.abc import Iterator

from sweeps.scorecard.trial import Case
from sweeps.situations.catalogue import situations
from sweeps.situations.situation import Level, Situation

QUICK = 9
"""Every how many situations the quick subset takes one."""
TWIN = 100
"""Seed of the clean twins: none that their faults have, so that they add to what is known of the healthy."""


def cases(*, quick: bool = False, seeds: int = 1, every_level: bool = False) -> Iterator[Case]:
    """Every fault at one of its levels, drawn by its name, or at each; and every control.

    With more seeds each fault's clean twin is tried too. The quick subset takes one situation in nine, in
    the order of their names.
    """
    names = sorted(situations())
    for name in names[::QUICK] if quick else names:
        situation = situations()[name]
        if situation.healthy:
            yield from (Case(name, None, seed) for seed in range(seeds))
            continue
        levels = situation.levels if every_level else [_drawn(situation)]
        yield from (Case(name, level, seed) for level in levels for seed in range(seeds))
        if seeds > 1:
            yield Case(name, None, TWIN)


def _drawn(situation: Situation) -> Level:
    """By a hash of the name, so that nobody chooses."""
    return situation.levels[hashlib.sha256(situation.name.encode()).digest()[1] % len(situation.levels)]
