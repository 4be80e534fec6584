"""The first loss beside that of a net that knows nothing, and how long it takes to come down."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from torchvitals.builtin.parts.calls import CLASSES, YES_NO, Call, calls
from torchvitals.core.snapshot import Snapshot, remembered
from torchvitals.core.window import Window

UNSCALED = 5.0
"""Root mean square of an input from which a large output is rather the data's than the weights' doing."""


@dataclass(frozen=True)
class Opening:
    """A call of a loss function beside one whose outputs are all 0."""

    name: str
    op: str
    loss: float
    expected: float

    @property
    def times(self) -> float:
        return self.loss / self.expected

    @staticmethod
    @remembered
    def of(look: Snapshot) -> "list[Opening]":
        """Those of which it is known what to expect."""
        pairs = [(call, _expected(call)) for call in calls(look)]
        return [Opening(call.name, call.op, call.mean, e) for call, e in pairs if e is not None]


def _expected(call: Call) -> float | None:
    """Loss of outputs that are all 0, or None where it is not known."""
    if call.adjusted or call.broadcast:
        return None
    if call.op in CLASSES and call.classes > 1 and (call.op != "nll_loss" or call.after == "log_softmax"):
        return math.log(call.classes)
    if call.op in YES_NO:
        return math.log(2)
    if call.op == "mse_loss" and call.target_sq > 0:
        return call.target_sq / call.count
    return None


@remembered
def lingers(window: Window, *, large: float, times: float, settle: int) -> bool:
    """Whether a classifier's loss began `large` times as high as it should, and was `times` as high as it
    should at every look of the first `settle` steps. False where the inputs were large.
    """
    looks = window.looks("loss")
    if not looks or looks[-1].step - looks[0].step < settle or _large_inputs(looks[0]):
        return False
    early = [look for look in looks if look.step - looks[0].step <= settle]
    began = [o for o in Opening.of(looks[0]) if o.op in (*CLASSES, *YES_NO) and o.times > large]
    return any(all(t > times for t in _times(o.name, [*early, looks[-1]])) for o in began)


def _times(name: str, looks: Sequence[Snapshot]) -> Iterator[float]:
    for look in looks:
        yield max((o.times for o in Opening.of(look) if o.name == name), default=0.0)


def _large_inputs(look: Snapshot) -> bool:
    if "features" not in look or not len(look["features"]):
        return False
    table = look["features"]
    return bool(np.any(np.sqrt(table["sum_sq"] / np.maximum(table["count"], 1)) > UNSCALED))
