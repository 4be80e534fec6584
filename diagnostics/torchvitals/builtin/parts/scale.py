"""How large the outputs of the sites are, and how much they differ from sample to sample, over the depth."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from torchvitals.builtin.parts.profile import RECURRENT
from torchvitals.core.snapshot import Snapshot, remembered
from torchvitals.core.tables import Table


@dataclass(frozen=True)
class Scale:
    """Sites in execution order, with the mean squares of their outputs; none of them is 0 or infinite."""

    sites: tuple[str, ...]
    ops: tuple[str, ...]
    square: np.ndarray
    """mean squares over the entries, shape (sites,)"""
    variance: np.ndarray
    """variances over the samples of a batch, shape (sites,); 0 where all samples gave the same"""

    @staticmethod
    @remembered
    def of(look: Snapshot, *, whole: bool = False) -> "Scale":
        """Of the sites behind the last normalisation, which makes any scale before it forgotten; or of the
        whole net, where scale does not matter.

        Sites that gave nothing but zeros are left out, and those whose weights are 0: layers that died,
        branches that start as nothing but their bias. A site that is called several times counts by its first
        call.
        """
        activation, shut = look["activation"], _shut(look)
        norms = [i for i, op in enumerate(activation["op"]) if "Norm" in str(op)]
        rows = np.arange(norms[-1] if norms and not whole else 0, len(activation))
        names = np.array(activation.names, dtype=object)[rows]
        square = activation.rms[rows] ** 2
        variance = activation["spread"][rows] / np.maximum(activation["freedom"][rows], 1)
        known = (activation["nonfinite"][rows] == 0) & (activation["freedom"][rows] > 0)
        told = np.array(["#" not in name and name not in shut for name in names], bool)
        keep = known & (square > 0) & np.isfinite(square) & told
        ops = tuple(map(str, activation["op"][rows][keep]))
        return Scale(tuple(names[keep]), ops, square[keep], variance[keep])

    def __len__(self) -> int:
        return len(self.sites)

    @cached_property
    def range(self) -> float:
        """Decades from the smallest mean square to the largest."""
        return float(np.ptp(np.log10(self.square)))

    @cached_property
    def gain(self) -> float:
        """Decades from the first site to the last on the straight line through all of them: one site alone,
        such as a last layer that starts small, does not decide.
        """
        places = np.arange(len(self))
        return float(np.polyfit(places, np.log10(self.square), 1)[0] * places[-1])

    @cached_property
    def consistency(self) -> float:
        """R^2 of that line: near 1 where every site takes its share, in [0, 1]."""
        decades = np.log10(self.square)
        if len(self) < 3 or np.ptp(decades) == 0:
            return 0.0
        return float(np.corrcoef(np.arange(len(self)), decades)[0, 1] ** 2)


@remembered
def _shut(look: Snapshot) -> set[str]:
    """Modules whose weights are all 0; none where they were not measured."""
    if "parameter" not in look:
        return set()
    table = look["parameter"]
    zero = [table.names[i] for i in np.flatnonzero(table["sum_sq"] == 0)]
    return {name.removesuffix(".weight") for name in zero if name.endswith(".weight")}


def loops(activation: Table) -> bool:
    """Whether a module is called again and again in a forward pass, as the cell of a recurrent net is."""
    calls = Counter(
        name.partition("#")[0]
        for name, op in zip(activation.names, activation["op"], strict=True)
        if not str(op).islower()  # functions are written small, modules are not
    )
    return max(calls.values(), default=0) >= RECURRENT
