"""DeepLocalize (Wardat et al., ICSE 2021), written anew from its paper and its published callback.

After every batch it reads one number, the mean, of each layer's output, of each weight and of each weight's
gradient, and ends the training at the first layer where it is not finite, is 0 in half of the batches so far,
or has been the same for 5 batches, or where the loss or accuracy is. Gradients of layer outputs, which it
reads too, are left out: they show in those of the weights. Its rule for constant weights and gradients is for
dense layers. Under a softmax the mean of the last weight changes by rounding alone, which its rule takes for
a fault at times.
"""

import math
from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

from torch import nn

from sweeps.scorecard.peers import symptoms as s
from sweeps.scorecard.peers.look import Look
from sweeps.scorecard.peers.rules import Codes, Said, Silent, judge
from sweeps.scorecard.peers.unchanging import Unchanging
from sweeps.situations.training import Training

PERIOD = 5
"""batches over which nothing must stay the same"""
ZERO_SHARE = 0.5
"""part of the batches so far in which a mean may be 0"""

FORWARD, WEIGHTS, DELTA = "error in forward", "error in weights", "error in delta weights"
MDL, LOSS = "model does not learn", "invalid loss"


class DeepLocalize(Silent):
    codes: ClassVar[Codes] = {
        FORWARD: (*s.NUMERICAL, *s.DEAD, "TV103", "TV102", "TV301", "TV308", *s.UNCHANGED),
        WEIGHTS: (*s.NUMERICAL, *s.UNCHANGED, "TV301", "TV308", "TV307"),
        DELTA: (*s.NUMERICAL, *s.VANISHING, "TV101", *s.UNCHANGED),
        LOSS: s.NUMERICAL,
        MDL: s.STUCK,
    }
    stops: ClassVar[bool] = True

    def __init__(self, training: Training) -> None:
        named = training.model.named_modules()
        self._dense = {f"{path}.weight" for path, m in named if isinstance(m, nn.Linear)}
        self._seen = 0
        self._zeros: Counter[tuple[str, str]] = Counter()
        self._same = {rule: Unchanging(PERIOD) for rule in (FORWARD, WEIGHTS, DELTA, LOSS, MDL)}

    def look(self, look: Look) -> Iterator[Said]:
        self._seen += 1
        yield from self._means(FORWARD, look.of("layers", "mean"), dense=False)
        yield from self._means(WEIGHTS, look.of("matrices", "mean"))
        if look.told:
            if not math.isfinite(look.loss):
                yield Said(LOSS, (), "the loss is not a number")
            if self._same[LOSS].add({"loss": look.loss}):
                yield Said(MDL, (), "the loss stays the same")
        if look.accuracy is not None and self._same[MDL].add({"accuracy": look.accuracy}):
            yield Said(MDL, (), "the accuracy stays the same")
        yield from self._means(DELTA, look.of("slopes", "mean"))

    def _means(self, rule: str, means: dict[str, float], *, dense: bool = True) -> Iterator[Said]:
        """Layers are read from the first on, weights and gradients from the last."""
        ordered = dict(reversed(means.items())) if dense else means
        for name, mean in ordered.items():
            if not math.isfinite(mean):
                yield Said(rule, (name,), "not a number")
            self._zeros[rule, name] += mean == 0
            if mean == 0 and self._zeros[rule, name] >= ZERO_SHARE * self._seen:
                yield Said(rule, (name,), "zero")
        for name in self._same[rule].add({n: m for n, m in ordered.items() if not dense or n in self._dense}):
            yield Said(rule, (name,), "stays the same")


JUDGE = judge("DeepLocalize", DeepLocalize, "Wardat et al., DeepLocalize, ICSE 2021")
