"""TheDeepChecker (Ben Braiek and Khomh, TOSEM 2023), written anew from its paper and its published checks.

Checks before training, and checks of what it calls the overfitting phase, of which every tenth iteration is
looked at until 5 iterations in a row were all right. That phase trains a fresh model on one batch; here its
checks watch the training itself, and what needs a training of its own is left out: fitting one batch,
gradients against numeric ones, losses for other batch sizes, outputs in evaluation mode. Thresholds are those
of its later port to PyTorch and the band of updates that of its paper. Those for gradients (1e-7, and what
the port takes for weights) and the tolerance for equal (0.1) are ours.
"""

import math
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch

from sweeps.scorecard.peers import symptoms as s
from sweeps.scorecard.peers.beginnings import beginnings
from sweeps.scorecard.peers.look import Look, numbers
from sweeps.scorecard.peers.rules import Codes, Said, Silent, judge
from sweeps.scorecard.peers.units import activates, units
from sweeps.situations.training import Training

PERIOD = 10
"""iterations between two looks; losses and updates are means over them"""
START = 10
PATIENCE = 5
NEGATIVE_SHARE = DEAD_SHARE = 0.95
"""part of a weight"""
DEAD_WEIGHT = 1e-5
DIVERGED, GROWTH, SHRINKAGE, WINDOW = 1e8, 2.0, 0.5, 5
"""mean absolute value, or growth at each of the looks in the window"""
VANISHED = 1e-7
UPDATES = (-4.0, -1.0)
"""decimal logarithm of the mean absolute update over that of the weight"""
DECREASE = 0.05
"""part of the loss that has to go from one look to the next"""
SMOOTH, SMOOTH_WINDOW = 0.5, 50


class TheDeepChecker(Silent):
    codes: ClassVar[Codes] = {
        "features": (*s.UNSCALED, *s.CONSTANT_DATA),
        "targets": (*s.UNSCALED, "TV404"),
        "unbalanced labels": s.IMBALANCE,
        "initial weights": s.BAD_INIT,
        "initial biases": (*s.FIRST_LOSS, "TV101"),
        "initial loss": s.FIRST_LOSS,
        "numerical instability": s.NUMERICAL,
        "dead activations": s.DEAD,
        "saturated activations": s.SATURATED,
        "unstable activations": ("TV103", "TV104", "TV308"),
        "constant output": ("TV103", "TV403", "TV301"),
        "weights of one sign": ("TV308", "TV301", "TV307"),
        "dead weights": ("TV101", "TV303", "TV307", "TV308", "TV301"),
        "diverging weights": ("TV307", "TV302", "TV402"),
        "vanishing gradient": s.VANISHING,
        "exploding gradient": s.EXPLODING,
        "untrained weights": s.UNCHANGED,
        "fast weights": s.RATE_HIGH,
        "slow weights": (*s.RATE_LOW, *s.VANISHING),
        "stagnated loss": s.STUCK,
        "diverging loss": s.DIVERGING,
        "fluctuating loss": s.OSCILLATING,
    }

    def __init__(self, training: Training) -> None:
        self._training = training
        self._fitted = 0
        self._sizes: dict[str, list[float]] = defaultdict(list)
        self._updates: dict[str, list[float]] = defaultdict(list)
        self._losses: list[float] = []
        self._means: list[float] = []
        self._constant = 0

    def look(self, look: Look) -> Iterator[Said]:
        if look.step == 0:
            yield from beginnings(look, self._training)
        if self._fitted >= PATIENCE:
            return
        self._fitted = self._fitted + 1 if look.accuracy == 1.0 else 0
        self._losses.append(look.loss)
        self._update(look)
        if look.step and look.step % PERIOD == 0:
            yield from self._numbers(look)
            yield from self._outputs(look)
            yield from self._weights(look)
            yield from self._gradients(look)
            yield from self._moved()
            yield from self._loss()

    def _numbers(self, look: Look) -> Iterator[Said]:
        for kind in ("layers", "weights", "gradients"):
            for name, size in look.of(kind, "size").items():
                if not math.isfinite(size):
                    yield Said("numerical instability", (name,), "NaN or infinite")
        if look.told and not math.isfinite(look.loss):
            yield Said("numerical instability", (), "loss")

    def _outputs(self, look: Look) -> Iterator[Said]:
        if look.output is not None and look.output.is_floating_point() and len(look.output) > 1:
            self._constant = self._constant + 1 if not bool((look.output.float().var(0) > 0).all()) else 0
            if self._constant >= PATIENCE:
                yield Said("constant output", (), "outputs are constant")
        for layer in look.layers:
            if activates(layer) and torch.isfinite(layer.output).all() and layer.output.dim() > 1:
                yield from units(layer)

    def _weights(self, look: Look) -> Iterator[Said]:
        negative = numbers(look.matrices, lambda w: (w < 0).float().mean())
        dead = numbers(look.matrices, lambda w: (w.abs() < DEAD_WEIGHT).float().mean())
        for name in negative:
            if negative[name] > NEGATIVE_SHARE:
                yield Said("weights of one sign", (name,), "negative")
            if dead[name] > DEAD_SHARE:
                yield Said("dead weights", (name,), "near zero")
        for name, size in look.of("weights", "size").items():
            if size > DIVERGED or self._ratios(name, size, at_least=GROWTH):
                yield Said("diverging weights", (name,), "growing")

    def _gradients(self, look: Look) -> Iterator[Said]:
        for name, size in look.of("slopes", "size").items():
            grew = self._ratios(f"{name} up", size, at_least=GROWTH)
            shrank = self._ratios(f"{name} down", size, at_most=SHRINKAGE)
            if size < VANISHED or shrank:
                yield Said("vanishing gradient", (name,), "gradient")
            if size > DIVERGED or grew:
                yield Said("exploding gradient", (name,), "gradient")

    def _ratios(
        self, name: str, size: float, *, at_least: float = -math.inf, at_most: float = math.inf
    ) -> bool:
        """Whether each of the last looks was that many times the one before."""
        self._sizes[name] = [*self._sizes[name][-WINDOW + 1 :], size]
        return len(self._sizes[name]) == WINDOW and _all_between(self._sizes[name], at_least, at_most)

    def _update(self, look: Look) -> None:
        moved = {n: look.before[n] - w for n, w in look.matrices.items() if n in look.before}
        sizes = numbers({n: look.before[n] for n in moved}, lambda w: w.abs().mean())
        for name, step in numbers(moved, lambda w: w.abs().mean()).items():
            if sizes[name] > 0:
                self._updates[name].append(math.log10(step / sizes[name]) if step > 0 else 0.0)

    def _moved(self) -> Iterator[Said]:
        for name, logarithms in self._updates.items():
            mean = float(np.mean(logarithms)) if logarithms else math.nan
            logarithms.clear()
            if mean == 0:
                yield Said("untrained weights", (name,), "no update")
            elif mean > UPDATES[1]:
                yield Said("fast weights", (name,), "learning rate too high")
            elif mean < UPDATES[0]:
                yield Said("slow weights", (name,), "learning rate too low")

    def _loss(self) -> Iterator[Said]:
        self._means.append(float(np.mean(self._losses)))
        self._losses.clear()
        recent = self._means[-WINDOW:]
        if len(recent) == WINDOW:
            if all(a and (a - b) / a < DECREASE for a, b in pairwise(recent)):
                yield Said("stagnated loss", (), "the loss does not decrease")
            if _all_between(recent, GROWTH, math.inf):
                yield Said("diverging loss", (), "the loss grows")
        if smoothness(self._means[-SMOOTH_WINDOW:]) < SMOOTH:
            yield Said("fluctuating loss", (), "the loss fluctuates")


def _all_between(values: list[float], low: float, high: float) -> bool:
    return all(a > 0 and low <= b / a <= high for a, b in pairwise(values))


def smoothness(losses: list[float]) -> float:
    """Part of the losses at which the curve does not turn."""
    rises = [b > a for a, b in pairwise(losses)]
    turns = sum(a != b for a, b in pairwise(rises))
    return (len(losses) - turns) / len(losses)


JUDGE = judge("TheDeepChecker", TheDeepChecker, "Ben Braiek and Khomh, TheDeepChecker, TOSEM 2023")
