"""How far an update moves the weights: the one measurement on which all diagnostics of step sizes agree."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from torchvitals.builtin.parts.middle import median
from torchvitals.core.snapshot import Snapshot, remembered
from torchvitals.core.window import Window

LONE = 10.0
"""How much further than all matrices a single one has to be moved to count as much."""
LAST_OF_DECAY = 0.2
"""Part of the largest learning rate so far below which a schedule has come to its end."""


@dataclass(frozen=True)
class Ratios:
    """RMS of each update over RMS of the weight that it changed.

    A weight matrix counts as at least 1/sqrt(fan_in) large, the size at which it passes its input on: so a
    matrix that starts at zero has a meaningful ratio too. Other parameters, whose size says little, count as
    at least 1 large.
    """

    step: int
    names: tuple[str, ...]
    values: np.ndarray
    """ratio of each parameter that has a gradient; shape (parameters,)"""
    matrix: np.ndarray
    """which of them are weight matrices; shape (parameters,)"""

    @staticmethod
    @remembered
    def of(look: Snapshot) -> "Ratios":
        """Of the trainable parameters that were updated by a gradient other than 0."""
        update, parameter = look["update"], look["parameter"]
        place = {name: i for i, name in enumerate(parameter.names)}
        known = [(j, place[name]) for j, name in enumerate(update.names) if name in place]
        rows, held = np.array(known, int).reshape(-1, 2).T
        live = (update["idle"] < update["count"])[rows] & (parameter["trainable"] > 0)[held]
        rows, held = rows[live], held[live]
        fan_in = parameter["fan_in"][held]
        natural = np.where(fan_in > 0, np.maximum(fan_in, 1) ** -0.5, 1.0)
        values = update.rms[rows] / np.maximum(parameter.rms[held], natural)
        return Ratios(look.step, tuple(update.names[j] for j in rows), values, fan_in > 0)

    @cached_property
    def matrices(self) -> dict[str, float]:
        """Ratio of each weight matrix by name."""
        return {n: float(v) for n, v, m in zip(self.names, self.values, self.matrix, strict=True) if m}

    @cached_property
    def some(self) -> bool:
        """Whether there is a weight matrix among them."""
        return bool(self.matrix.any())

    @cached_property
    def size(self) -> float:
        """How far the update moved the net: as most matrices moved, or a tenth of the one furthest moved."""
        values = list(self.matrices.values())
        return max(median(values), max(values) / LONE)

    @cached_property
    def largest(self) -> float:
        """Of all parameters; 0 where there is none."""
        return float(self.values.max(initial=0.0))


def settled(window: Window, looks: Sequence[Snapshot]) -> list[Snapshot]:
    """Looks at which the learning rate was neither 0 nor rising nor at the end of a decay.

    Where nobody told the learning rate it counts as constant.
    """
    steady = _steady(window)
    return [look for look in looks if look.step in steady]


@remembered
def _steady(window: Window) -> set[int]:
    """Steps of which this holds."""
    rates = {s.step: s.scalars.get("lr", 1.0) for s in window.snapshots}
    steps = list(rates)
    kept, peak = [], 0.0
    for k, step in enumerate(steps):
        rate = rates[step]
        peak = max(peak, rate)
        before = rates[steps[k - 1]] if k else rates[steps[min(1, len(steps) - 1)]]
        rising = rate > before if k else before > rate
        if rate > 0 and not rising and rate >= LAST_OF_DECAY * peak:
            kept.append(step)
    return set(kept)
