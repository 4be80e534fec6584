"""UMLAUT (Schoop et al., CHI 2021), written anew from its paper and its published heuristics.

After every epoch it warns of all that looks unusual. Two of its heuristics have no counterpart here: a
validation accuracy that is higher than the training's, for no validation accuracy is known, and a softmax
that is missing before a loss that wants one, which it reads off the arguments of Keras' losses.
"""

import math
from collections.abc import Iterator
from typing import ClassVar

from torch import nn

from sweeps.scorecard.peers import symptoms as s
from sweeps.scorecard.peers.look import Look
from sweeps.scorecard.peers.rules import EPOCH, Codes, Said, Silent, judge
from sweeps.situations.training import Training

BOUNDS = (-1.0, 1.0)
"""of inputs that are normalised"""
RATE_BOUNDS = (1e-7, 1e-2)
"""of common learning rates"""
DROPOUT = 0.5
LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d)


class Umlaut(Silent):
    codes: ClassVar[Codes] = {
        "input not normalised": s.UNSCALED,
        "input not floating": ("TV501", "TV502"),
        "NaN in loss": s.NUMERICAL,
        "missing activation functions": ("TV403", "TV103"),
        "high learning rate": s.RATE_HIGH,
        "low learning rate": s.RATE_LOW,
        "high dropout rate": ("TV403",),
        "possible overfitting": s.OVERFIT,
    }

    def __init__(self, training: Training) -> None:
        self._modules = dict(training.model.named_modules())
        self._losses: list[float] = []
        self._last: tuple[float, float] | None = None

    def look(self, look: Look) -> Iterator[Said]:
        self._losses.append(look.loss)
        if (look.step + 1) % EPOCH:
            return
        yield from self._inputs(look)
        if math.isnan(look.loss) and look.told:
            yield Said("NaN in loss", (), "a learning rate that is too high")
        for layer in look.layers:
            if isinstance(layer.module, LINEAR) and isinstance(self._modules.get(layer.after), LINEAR):
                yield Said("missing activation functions", (layer.after,), "linear layers in a row")
        if max(look.rates) > RATE_BOUNDS[1]:
            yield Said("high learning rate", (), "learning rate")
        if min(look.rates) < RATE_BOUNDS[0]:
            yield Said("low learning rate", (), "learning rate")
        for path, module in self._modules.items():
            if isinstance(module, nn.Dropout) and module.p >= DROPOUT:
                yield Said("high dropout rate", (path,), "dropout")

    def _inputs(self, look: Look) -> Iterator[Said]:
        x = look.inputs
        if x is None or not x.numel():
            return
        if x.min() < BOUNDS[0] or x.max() > BOUNDS[1]:
            yield Said("input not normalised", (), "inputs exceed -1 to 1")
        if not x.is_floating_point():
            yield Said("input not floating", (), "inputs are whole numbers")

    def validated(self, loss: float) -> Iterator[Said]:
        """Its epochs are those of the validation: the loss rose there and did not in training."""
        trained = sum(self._losses) / max(len(self._losses), 1)
        self._losses.clear()
        if self._last and loss > self._last[1] and trained <= self._last[0]:
            yield Said("possible overfitting", (), "validation loss up, training loss not")
        self._last = (trained, loss)


JUDGE = judge("UMLAUT", Umlaut, "Schoop et al., UMLAUT, CHI 2021")
