"""One call of a loss function, read from the row that was measured of it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from torchvitals.core.snapshot import Snapshot, remembered
from torchvitals.core.tables import Bits
from torchvitals.core.window import Window

CLASSES = frozenset({"cross_entropy", "nll_loss"})
"""Loss functions of one class of many."""
YES_NO = frozenset({"binary_cross_entropy", "binary_cross_entropy_with_logits"})
BY_HAND = "difference"
"""What a loss is called that somebody wrote by hand, and that compares every prediction with every target."""
DISTANCES = frozenset({"mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"})
"""Loss functions that compare numbers entry by entry."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """What a loss function was given and what it gave; the statistics of the `loss` table, one row."""

    step: int
    name: str
    op: str
    after: str
    reduction: str
    count: float
    loss_sum: float
    classes: float
    low: float
    high: float
    sum_sq: float
    row_error: float
    axis: float
    broadcast: float
    adjusted: float
    target_sum: float
    target_sq: float
    target_low: float
    target_high: float
    prior: float
    present: Bits
    weights_follow: float = -1.0
    swapped: float = 0.0

    @property
    def squash(self) -> str:
        """The last of what made the prediction: "sigmoid" for "sigmoid+sigmoid"."""
        return self.after.rpartition("+")[2]

    @property
    def before(self) -> str:
        """What squashed the prediction already before `squash` did it once more, or ""."""
        return self.after.rpartition("+")[0]

    @property
    def mean(self) -> float:
        """Mean loss over the targets."""
        return self.loss_sum / self.count

    @property
    def target_rms(self) -> float:
        return math.sqrt(max(self.target_sq / self.count, 0.0))

    @property
    def target_variance(self) -> float:
        return max(self.target_sq / self.count - (self.target_sum / self.count) ** 2, 0.0)

    @property
    def output_rms(self) -> float:
        """Of a prediction that has one entry a target."""
        return math.sqrt(max(self.sum_sq / self.count, 0.0))

    @property
    def constant_target(self) -> bool:
        """Whether all targets are one number."""
        return self.target_low == self.target_high

    @property
    def binary_target(self) -> bool:
        """Whether all targets are 0 or 1, and both occur: only then do their squares sum to their sum."""
        return (self.target_low, self.target_high) == (0, 1) and self.target_sq == self.target_sum

    @property
    def probabilities(self) -> bool:
        """Whether each row of the prediction is a distribution over the classes."""
        return self.classes > 1 and self.low >= 0 and 0 <= self.row_error < 1e-3


@remembered
def calls(look: Snapshot) -> tuple[Call, ...]:
    """Those of a look's calls that had targets and gave a finite loss."""
    return tuple(_finite_calls(look))


def _finite_calls(look: Snapshot) -> Iterator[Call]:
    table = look["loss"]
    for i, name in enumerate(table.names):
        row: dict[str, Any] = {key: table[key][i].item() for key in _STATISTICS if key in table.columns}
        present = table.units["present"][i] if "present" in table.units else np.zeros(0, bool)
        if row["count"] > 0 and math.isfinite(row["loss_sum"]):
            yield Call(step=look.step, name=name, present=present, **row)


_STATISTICS = tuple(f.name for f in fields(Call) if f.name not in ("step", "name", "present"))


@remembered
def guessing(window: Window) -> float | None:
    """Loss of someone who knows how frequent the classes are, or the mean of the targets of a squared error,
    and nothing else; in units of the run's loss.

    None where that cannot be told: other loss functions or several, weights, or a loss nobody told.
    """
    for look in window.looks("loss")[:1]:
        found = list(calls(look))
        if len(found) == 1 and look.loss is not None and found[0].mean > 0 and not found[0].adjusted:
            call = found[0]
            blind = call.target_variance if call.op == "mse_loss" else call.prior / call.count
            return blind * look.loss / call.mean if blind > 0 else None
    return None
