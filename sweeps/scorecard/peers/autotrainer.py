"""AutoTrainer (Zhang et al., ICSE 2021), written anew from its paper and its published defaults.

It looks at every third epoch, at the gradients of one batch and at the accuracies so far, and ends the
training at its first problem. Gradients are judged only while the accuracy is not good enough, so it is
silent on regressions but for what is not finite. No validation accuracy is known here; the training's stands
for both. Its detector names no layer: we name the one whose gradients the rule reads.
"""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import ClassVar

import numpy as np

from sweeps.scorecard.peers import symptoms as s
from sweeps.scorecard.peers.look import Look, numbers
from sweeps.scorecard.peers.rules import EPOCH, Codes, Said, Silent, judge
from sweeps.situations.training import Training

VANISH_RATIO = 1e-3
"""beta 1: first layer's gradient norm over the last one's"""
VANISH_NORM = 1e-4
"""beta 2: first layer's gradient norm"""
EXPLODE_RATIO = 70.0
"""beta 3: the same ratio"""
ZERO_SHARE = 0.7
"""gamma: zeros among all gradients that make ReLUs dying"""
SWING = 0.03
"""zeta: fall from a high to the next low of the accuracy that counts"""
SWING_SHARE = 0.2
"""eta: such falls per epoch"""
GAIN = 0.01
"""delta: gain of accuracy from one epoch to the next below which learning is slow"""
GOOD = 0.6
"""Theta: accuracy above which gradients are not judged; 0.6 in its experiments, 0.7 where nothing is given"""
EVERY = 3
"""epochs between two looks"""
PATIENCE = 0.3
"""part of the training before accuracies are judged"""
HUGE_LOSS = 1e5


class AutoTrainer(Silent):
    codes: ClassVar[Codes] = {
        "explode": s.EXPLODING,
        "dying relu": s.DEAD,
        "vanish": s.VANISHING,
        "not converge": s.SLOW,
        "unstable": s.OSCILLATING,
    }
    stops: ClassVar[bool] = True

    def __init__(self, training: Training) -> None:
        self._epochs = max(training.steps // EPOCH, 1)
        self._batch: list[tuple[float, float | None]] = []
        self._history: list[float] = []
        self._losses: list[float] = []

    def look(self, look: Look) -> Iterator[Said]:
        self._batch.append((look.loss, look.accuracy))
        if len(self._batch) < EPOCH:
            return
        losses, accuracies = zip(*self._batch, strict=True)
        self._batch.clear()
        self._losses.append(float(np.mean(losses)))
        if None not in accuracies:
            self._history.append(float(np.mean(accuracies)))
        if (len(self._losses) - 1) % EVERY == 0:
            yield from self._determine(look)

    def _determine(self, look: Look) -> Iterator[Said]:
        broken = [
            name
            for kind in ("gradients", "weights")
            for name, size in look.of(kind, "size").items()
            if not math.isfinite(size)
        ]
        loss = self._losses[-1]
        if broken or (look.told and not abs(loss) < HUGE_LOSS):
            yield Said("explode", tuple(broken[:1]), "not a number, or a huge loss")
        if len(self._losses) < PATIENCE * self._epochs or not self._history:
            return
        slow = _most_gained(self._history) < GAIN
        if slow or max(self._history) < GOOD:
            yield from self._gradients(look, slow)
        elif swings(self._history) >= SWING_SHARE * len(self._history):
            yield Said("unstable", (), "the accuracy oscillates")

    def _gradients(self, look: Look, slow: bool) -> Iterator[Said]:
        norms = numbers(look.slopes, lambda g: g.norm())
        zeros = numbers(look.gradients, lambda g: (g == 0).float().mean())
        sizes = {name: g.numel() for name, g in look.gradients.items()}
        share = sum(zeros[name] * sizes[name] for name in zeros) / max(sum(sizes.values()), 1)
        if not norms:
            return
        first, last = next(iter(norms)), list(norms.values())[-1]
        ratio = norms[first] / last if last else math.inf if norms[first] else math.nan
        if share >= ZERO_SHARE:
            yield Said(
                "dying relu", (max(zeros, key=lambda name: zeros[name]),), f"{share:.0%} zero gradients"
            )
        elif ratio > EXPLODE_RATIO:
            yield Said("explode", (first,), f"gradient ratio {ratio:.2g}")
        elif ratio < VANISH_RATIO and norms[first] < VANISH_NORM:
            yield Said("vanish", (first,), f"gradient ratio {ratio:.2g}")
        elif slow:
            yield Said("not converge", (), "slow convergence")


def _most_gained(history: list[float]) -> float:
    return max((b - a for a, b in pairwise(history)), default=0.0)


def swings(history: list[float]) -> int:
    """How many highs are at least `SWING` above the low of the same rank."""
    inner = list(zip(history, history[1:], history[2:], strict=False))
    highs = [b for a, b, c in inner if b >= a and b >= c]
    lows = [b for a, b, c in inner if b <= a and b <= c]
    return sum(high - low >= SWING for high, low in zip(highs, lows, strict=False))


JUDGE = judge("AutoTrainer", AutoTrainer, "Zhang et al., AUTOTRAINER, ICSE 2021")
