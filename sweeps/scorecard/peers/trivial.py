"""What anybody would write in five minutes."""

import math
from collections import deque
from collections.abc import Iterator
from statistics import fmean, pstdev
from typing import ClassVar

from sweeps.scorecard.peers import symptoms as s
from sweeps.scorecard.peers.look import Look, numbers
from sweeps.scorecard.peers.rules import Codes, Said, Silent, judge
from sweeps.situations.training import Training

STRETCH = 50
"""steps over which the loss has to go down: the mean of the second half must be below that of the first"""
HISTORY = 100
"""gradient norms that the next one is compared with"""
WARM_UP = 20
"""norms before any is compared"""
DEVIATIONS = 6.0


class NaNOnly(Silent):
    codes: ClassVar[Codes] = {"loss is NaN": s.NUMERICAL}

    def __init__(self, _training: Training) -> None:
        pass

    def look(self, look: Look) -> Iterator[Said]:
        if look.told and not math.isfinite(look.loss):
            yield Said("loss is NaN", (), "the loss is not a number")


class NotDecreasing(Silent):
    codes: ClassVar[Codes] = {"loss not decreasing": s.STUCK}

    def __init__(self, _training: Training) -> None:
        self._losses: deque[float] = deque(maxlen=STRETCH)

    def look(self, look: Look) -> Iterator[Said]:
        if look.told:
            self._losses.append(look.loss)
        if len(self._losses) == STRETCH:
            losses = list(self._losses)
            if not fmean(losses[STRETCH // 2 :]) < fmean(losses[: STRETCH // 2]):
                yield Said("loss not decreasing", (), "the loss")


class NormScore(Silent):
    codes: ClassVar[Codes] = {"gradient norm": (*s.EXPLODING, *s.SPIKE)}

    def __init__(self, _training: Training) -> None:
        self._norms: deque[float] = deque(maxlen=HISTORY)

    def look(self, look: Look) -> Iterator[Said]:
        norm = math.sqrt(sum(numbers(look.gradients, lambda g: g.square().sum()).values()))
        if not math.isfinite(norm):
            return
        if len(self._norms) >= WARM_UP and norm - fmean(self._norms) > DEVIATIONS * pstdev(self._norms):
            yield Said("gradient norm", (), f"{DEVIATIONS:.0f} standard deviations above its mean")
        self._norms.append(norm)


JUDGES = (
    judge("NaN only", NaNOnly, "own"),
    judge("loss not decreasing", NotDecreasing, "own"),
    judge("gradient-norm z-score", NormScore, "own"),
)
