"""TV301: finds layers whose units are copies of one another and will stay so."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.window import Window


@dataclass(frozen=True, kw_only=True)
class SymmetricUnits(Diagnostic):
    """Units of one layer that are equal both in their weights and in their gradients.

    What it measures: for every weight matrix, the share of rows (units, channels) that equal their neighbour
    in the weights and in the gradient, up to rounding.

    Why it matters: equal units with equal gradients get equal updates: the layer computes one function,
    however wide it is. Where the weights are all 0, behind a ReLU or tanh, not even that one is learned.

    When it is wrong: a last layer or a residual branch that starts at zero is healthy, since its rows get
    different gradients. Gates that start at zero can hold rows behind them at zero gradient during the very
    first step, so that a minority of matrices is accused only after an update has been made. Rows of
    embeddings are tokens and do not count.

    What to try: draw the weights at random; zeros are for biases and for the last layer of a branch.

    Source: it follows from the chain rule; equality in both is a proof, not a statistic.
    """

    code: ClassVar[str] = "TV301"
    name: ClassVar[str] = "symmetric-units"
    needs: ClassVar[frozenset[str]] = frozenset({"symmetry"})
    ranges: ClassVar = {"min_share": (0.01, 1)}

    min_share: float = 0.5
    """share of a matrix's rows that are twins of their neighbour; in [0.01, 1]"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        looks = window.looks("symmetry")
        if not looks:
            return
        twins = self._twins(looks[-1])
        moved = any(s.step < looks[-1].step and s.scalars.get("lr", 1.0) > 0 for s in window.snapshots)
        if twins and (moved or len(twins) >= len(looks[-1]["symmetry"]) / 2):
            yield self._finding(twins, looks)

    def _twins(self, look: Snapshot) -> list[str]:
        table = look["symmetry"]
        share = table["symmetric_rows"] / table["rows"]
        return [table.names[i] for i in np.flatnonzero(share >= self.min_share)]

    def _finding(self, twins: list[str], looks: tuple[Snapshot, ...]) -> Finding:
        table = looks[-1]["symmetry"]
        first = next(look.step for look in looks if twins[0] in self._twins(look))
        return self.finding(
            Severity.CRITICAL,
            where=tuple(name.rpartition(".")[0] or name for name in twins),
            since=first,
            message=f"All units of {twins[0]} are copies of one another"
            + (f", and so in {len(twins)} of {len(table)} weight matrices." if len(twins) > 1 else "."),
            cause="weights were not drawn at random",
            evidence={"matrices_affected": len(twins), "matrices": len(table)},
            remedies=(Remedy("Draw the weights at random, scaled for the activation.", ("init=he_normal",)),),
        )
