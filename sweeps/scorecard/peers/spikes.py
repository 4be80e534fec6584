"""Lightning's SpikeDetection at its defaults, by its rule: the package itself would need a Fabric.

A loss that is not better than the one before is a spike if it is at least twice the running mean away from
that mean, which is of the last 10; so is one that is not finite. It ends the training.
"""

import math
from collections import deque
from collections.abc import Iterator
from typing import ClassVar

from sweeps.scorecard.peers import symptoms as s
from sweeps.scorecard.peers.look import Look
from sweeps.scorecard.peers.rules import Codes, Said, Silent, judge
from sweeps.situations.training import Training

WINDOW = 10
"""losses in the running mean"""
WARM_UP = 1
"""steps before any can be a spike"""
RELATIVE = 2.0
"""distance from the running mean, in running means"""


class Spikes(Silent):
    codes: ClassVar[Codes] = {"training spike": (*s.SPIKE, *s.NUMERICAL)}
    stops: ClassVar[bool] = True

    def __init__(self, _training: Training) -> None:
        self._recent: deque[float] = deque(maxlen=WINDOW)

    def look(self, look: Look) -> Iterator[Said]:
        if not look.told:
            return
        if look.step >= WARM_UP and self._recent and self._spike(look.loss):
            yield Said("training spike", (), "the loss")
        elif math.isfinite(look.loss):
            self._recent.append(look.loss)

    def _spike(self, loss: float) -> bool:
        if not math.isfinite(loss):
            return True
        mean = sum(self._recent) / len(self._recent)
        return loss > self._recent[-1] and abs(loss - mean) >= abs(RELATIVE * mean)


JUDGE = judge("Lightning SpikeDetection", Spikes, "lightning.fabric.utilities.spike, 2.6")
