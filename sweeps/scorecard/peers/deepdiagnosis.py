"""DeepDiagnosis (Wardat et al., ICSE 2022), written anew from its paper and its published callback.

After every epoch it checks eight symptoms, ends the training at the first, and advises what to change; what
its advice names is added to what the symptom stands for. That a linear output under a cross-entropy is out of
range is true of Keras, whose losses want probabilities, and left out for PyTorch, whose losses want logits.
"""

import math
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from sweeps.scorecard.peers import symptoms as s
from sweeps.scorecard.peers.look import BOUNDED, Layer, Look, numbers
from sweeps.scorecard.peers.rules import EPOCH, Codes, Said, Silent, judge
from sweeps.scorecard.peers.unchanging import Unchanging
from sweeps.situations.training import Training

PERIOD = 5
"""epochs over which nothing must stay the same"""
ACCURACY_PERIOD = 20
DEAD_SHARE = 0.7
"""zeros in the output of a ReLU after the last epoch"""
BEYOND = 5.0
"""input of a sigmoid or tanh that saturates it"""
SATURATED_SHARE = 0.5
VANISHED = 1e-7
"""mean absolute gradient of a weight"""
RANGES: dict[type[nn.Module], tuple[float, float]] = {
    nn.Sigmoid: (0, 1), nn.Tanh: (-1, 1), nn.ReLU: (0, math.inf), nn.ELU: (-1, math.inf)
}  # fmt: skip
STRETCH = 10.0
"""times the range of the targets that the output of a linear layer may span"""
VARIANCES = (1e-5, 10.0)
"""of a healthy weight"""
RATES = (1e-5, 1e-1)
"""learning rate times norm of the gradient over that of the weight, if healthy"""


class DeepDiagnosis(Silent):
    codes: ClassVar[Codes] = {
        "out of range": s.OUT_OF_RANGE,
        "numerical error": s.NUMERICAL,
        "dead node": s.DEAD,
        "saturated activation": s.SATURATED,
        "unchanged weight": (*s.UNCHANGED, "TV301"),
        "loss not decreasing": s.STUCK,
        "accuracy not increasing": s.STUCK,
        "vanishing gradient": s.VANISHING,
    }
    stops: ClassVar[bool] = True

    def __init__(self, training: Training) -> None:
        self._epochs = training.steps // EPOCH
        self._batch: list[tuple[float, float | None]] = []
        self._epoch = 0
        self._same = {what: Unchanging(PERIOD) for what in ("layers", "loss", "slopes", "matrices")}
        self._same_accuracy = Unchanging(ACCURACY_PERIOD)

    def look(self, look: Look) -> Iterator[Said]:
        self._batch.append((look.loss, look.accuracy))
        if len(self._batch) == EPOCH:
            losses, accuracies = zip(*self._batch, strict=True)
            self._batch.clear()
            self._epoch += 1
            accuracy = None if None in accuracies else float(np.mean(accuracies))
            for said in self._symptoms(look, float(np.mean(losses)), accuracy):
                advice, more = _advice(look)
                yield Said(said.rule, said.where, f"{said.cause}; {advice}", more)

    def _symptoms(self, look: Look, loss: float, accuracy: float | None) -> Iterator[Said]:
        if self._epoch == 1 and look.layers and out_of_range(look.layers[-1], look.targets):
            yield Said("out of range", (look.layers[-1].path,), "change the activation function")
        yield from self._numerical(look.of("layers", "mean"))
        for layer in look.layers:
            if self._epoch == self._epochs and dead(layer):
                yield Said("dead node", (layer.path,), "outputs are zero")
            if self._epoch % PERIOD == 0 and saturated(layer):
                yield Said("saturated activation", (layer.path,), "inputs are too large")
        means = look.of("layers", "mean")
        yield from self._unchanged("layers", dict(list(means.items())[:-1]))
        if look.told:
            if not math.isfinite(loss):
                yield Said("numerical error", (), "invalid loss")
            if self._same["loss"].add({"loss": loss}):
                yield Said("loss not decreasing", (), "the loss stays the same")
        if accuracy is not None:
            if accuracy == 0:
                yield Said("accuracy not increasing", (), "invalid accuracy")
            if self._same_accuracy.add({"accuracy": accuracy}):
                yield Said("accuracy not increasing", (), "the accuracy stays the same")
        sizes = look.of("slopes", "size")
        yield from self._numerical(dict(reversed(look.of("slopes", "mean").items())))
        for name in reversed(sizes):
            if sizes[name] < VANISHED:
                yield Said("vanishing gradient", (name,), "gradients of the weight are tiny")
        yield from self._numerical(dict(reversed(look.of("matrices", "mean").items())))
        for what in ("slopes", "matrices"):
            yield from self._unchanged(what, dict(reversed(look.of(what, "mean").items())))

    def _numerical(self, means: dict[str, float]) -> Iterator[Said]:
        for name, mean in means.items():
            if mean == 0 or not math.isfinite(mean):
                zero = (*s.DEAD, *s.VANISHING) if mean == 0 else ()
                yield Said("numerical error", (name,), "zero" if zero else "not a number", zero)

    def _unchanged(self, what: str, means: dict[str, float]) -> Iterator[Said]:
        for name in self._same[what].add(means):
            yield Said("unchanged weight", (name,), "stays the same")


def dead(layer: Layer) -> bool:
    return isinstance(layer.module, nn.ReLU) and _share(layer.output <= 0) >= DEAD_SHARE


def saturated(layer: Layer) -> bool:
    if layer.input is None or not isinstance(layer.module, BOUNDED):
        return False
    return _share(layer.input.abs() >= BEYOND) > SATURATED_SHARE


def _share(where: Tensor) -> float:
    return where.float().mean().item()


def out_of_range(layer: Layer, targets: Tensor | None) -> bool:
    """Whether the last activation cannot reach the targets, or a linear output is far wider than they are."""
    if targets is None or not targets.is_floating_point() or not targets.numel():
        return False
    low, high = targets.min().item(), targets.max().item()
    if isinstance(layer.module, nn.Linear):
        return (layer.output.max() - layer.output.min()).item() > STRETCH * (high - low)
    least, most = RANGES.get(type(layer.module), (-math.inf, math.inf))
    return low < least or high > most


def _advice(look: Look) -> tuple[str, tuple[str, ...]]:
    """What it says to change, in its order: weights, data, learning rate, and at last the optimizer."""
    spreads = numbers(look.matrices, torch.var)
    if any(not VARIANCES[0] <= v <= VARIANCES[1] for v in spreads.values()):
        return "poor weight initialisation", s.BAD_INIT
    x = look.inputs
    if x is not None and x.is_floating_point() and x.numel() and (x.min() < -1 or x.max() > 1):
        return "normalise the data", s.UNSCALED
    norms, slopes = (numbers(t, lambda w: w.norm()) for t in (look.matrices, look.slopes))
    rate = look.rates[0]
    ratios = [rate * slopes[name] / norms[name] for name in slopes if norms.get(name)]
    if any(not RATES[0] <= ratio <= RATES[1] for ratio in ratios):
        return "learning rate", (*s.RATE_HIGH, *s.RATE_LOW)
    return "change the optimizer", ()


JUDGE = judge("DeepDiagnosis", DeepDiagnosis, "Wardat et al., DeepDiagnosis, ICSE 2022")
