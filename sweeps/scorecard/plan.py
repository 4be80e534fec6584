"""Which trainings are tried."""

from collections.abc import Iterator

from sweeps.scorecard.trial import Case
from sweeps.situations.catalogue import situations

QUICK = 4
"""Every how many situations the quick subset takes one."""


def cases(*, quick: bool = False, fault_seeds: int = 2, control_seeds: int = 3) -> Iterator[Case]:
    """Every fault at each of its levels, its clean twin, and every control.

    Twins of a fault take the seeds that the fault does not, so that they add to what is known of the healthy.
    The quick subset takes every fourth situation in the order of their names, at its first level, once.
    """
    names = sorted(situations())
    for name in names[::QUICK] if quick else names:
        situation = situations()[name]
        if situation.healthy:
            yield from (Case(name, None, seed) for seed in range(1 if quick else control_seeds))
            continue
        levels = situation.levels[:1] if quick else situation.levels
        for seed in range(1 if quick else fault_seeds):
            yield from (Case(name, level, seed) for level in levels)
        yield Case(name, None, 100)
