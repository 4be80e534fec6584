"""How gradients change with depth: the one measurement on which vanishing and exploding are judged."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from torchvitals.builtin.parts.middle import median
from torchvitals.core.snapshot import Snapshot, remembered
from torchvitals.core.tables import Table

ACTIVATIONS = frozenset({"sigmoid", "tanh", "hardsigmoid", "hardtanh", "softsign"})
"""Bounded activations, whose slope is below 1 almost everywhere."""
RECURRENT = 3
"""Calls of one module in a forward pass from which it counts as a recurrent cell."""
ADAPTIVE = frozenset(
    {"Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Adagrad", "Adadelta", "Adafactor"}
)
"""Optimizers that rescale each parameter's gradient."""


@dataclass(frozen=True)
class Profile:
    """Norm of the gradient of the loss by each site's output, in execution order.

    The Euclidean norm over the whole batch and all entries is used and not the root mean square: under fan-in
    scaled initialisation it is the norm that stays the same from layer to layer, whatever their widths and
    strides.
    """

    step: int
    sites: tuple[str, ...]
    ops: tuple[str, ...]
    decades: np.ndarray
    """log10 of the norms; shape (sites,)"""

    @staticmethod
    @remembered
    def of(look: Snapshot) -> "Profile":
        """Sites whose gradient is finite and not 0; a gradient of exactly 0 is cut, not small.

        Where a loop calls a module again and again its calls share their weights, which learn if any call
        does: they are one site, with the largest gradient.
        """
        table = _unrolled(look["activation_gradient"])
        keep = np.flatnonzero((table["nonfinite"] == 0) & (table["sum_sq"] > 0))
        names, ops = np.array(table.names, dtype=object)[keep], table["op"][keep]
        return Profile(look.step, tuple(names), tuple(map(str, ops)), np.log10(table.norm[keep]))

    def __len__(self) -> int:
        return len(self.sites)

    @cached_property
    def growth(self) -> float:
        """Decades gained by the gradient from the last site back to the first; negative if it shrinks."""
        return float(self.decades[0] - self.decades[-1]) if len(self) else 0.0

    @cached_property
    def consistency(self) -> float:
        """R^2 of a straight line through the decades: near 1 when every layer takes its share, in [0, 1]."""
        if len(self) < 3 or np.ptp(self.decades) == 0:
            return 0.0
        return float(np.corrcoef(np.arange(len(self)), self.decades)[0, 1] ** 2)

    def steady(self, *, min_sites: int, consistency: float) -> bool:
        """Whether it is deep enough to judge and every layer takes its share."""
        return len(self) >= min_sites and self.consistency > consistency

    @property
    def per_site(self) -> float:
        """Median factor of the norm from one site back to the one before it."""
        return float(10 ** median(-np.diff(self.decades)))

    def steepest(self, *, growing: bool) -> str:
        """The site between whose output and the one before it the gradient grows or shrinks most."""
        change = -np.diff(self.decades)
        return self.sites[1 + int(np.argmax(change) if growing else np.argmin(change))]

    def activation_part(self) -> float:
        """Part of the change from last to first site that happens inside bounded activations."""
        inside = [i for i in range(1, len(self)) if self.ops[i] in ACTIVATIONS]
        change = sum(float(self.decades[i - 1] - self.decades[i]) for i in inside)
        return change / self.growth if self.growth else 0.0


def _unrolled(table: Table) -> Table:
    """The table with the calls of a recurrent cell as one row each; any other table as it is."""
    modules = Counter(
        name.partition("#")[0]
        for name, op in zip(table.names, table["op"], strict=True)
        if not str(op).islower()  # functions are written small, modules are not
    )
    if max(modules.values(), default=0) < RECURRENT:
        return table
    largest: dict[str, int] = {}
    for row in np.argsort(table["sum_sq"], kind="stable"):
        largest[table.names[row].partition("#")[0]] = int(row)
    order = dict.fromkeys(name.partition("#")[0] for name in table.names)
    return table.take(largest[name] for name in order)


def streak(looks: Sequence[Snapshot], holds: Callable[[Profile], bool]) -> list[Profile]:
    """Profiles of the latest looks in a row that `holds` agrees to, oldest first."""
    found: list[Profile] = []
    for look in reversed(looks):
        profile = Profile.of(look)
        if not holds(profile):
            break
        found.append(profile)
    return found[::-1]


@remembered
def adaptive(look: Snapshot) -> bool:
    """Whether every optimizer of the step rescales gradients by parameter."""
    names = look.labels.get("optimizer", "").split("+")
    return all(name in ADAPTIVE for name in names)
