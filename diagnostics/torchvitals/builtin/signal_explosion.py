"""TV104: finds signals that grow by orders of magnitude from the first layer to the last."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from torchvitals.builtin.parts.feeders import named
from torchvitals.builtin.parts.middle import median
from torchvitals.builtin.parts.progress import stands_still
from torchvitals.builtin.parts.scale import Scale
from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot, remembered
from torchvitals.core.window import Window

BORN = (
    Remedy("Draw the weights with a variance that falls with fan-in.", ("init=he_normal",)),
    Remedy("Normalise between layers.", ("model.norm=batch",)),
    Remedy("Scale residual branches by one over the root of their number, or start them at zero."),
)
LOOPED = (
    Remedy("Begin the recurrent weights as the identity, or orthogonal."),
    Remedy("Take tanh, or a GRU or LSTM, whose states are bounded."),
    Remedy("Clip the gradient norm.", ("trainer.gradient_clip_val=1.0",)),
)
GROWN = (
    Remedy("Lower the learning rate tenfold, or warm it up.", ("scheduler=warmup_cosine",)),
    Remedy("Clip the gradient norm.", ("trainer.gradient_clip_val=1.0",)),
)
STRAIGHT = 1.5
"""Most that the straight line through some numbers gains, over the distance of the least to the largest."""


@dataclass(frozen=True, kw_only=True)
class SignalExplosion(Diagnostic):
    """Outputs that grow by orders of magnitude, on through the layers or in the course of training.

    What it measures: the mean square of every site's output behind the last normalisation. At the first look:
    how many powers of ten it gains from the first site to the last, and whether every site takes its share.
    Later: how much larger the median site is than any was at the first look, told when the loss stands still.

    Why it matters: the first loss is then a number such as 10^7, gradients are as large, and the first step
    throws the weights to where nothing is learned; in half precision the outputs overflow.

    When it is wrong: a normalisation makes whatever came before it forgotten, so that only what follows the
    last one counts. One large jump is no growth, but inside of an `nn.RNN` it is one over the sequence. What
    grows in training while the loss falls is at work.

    What to try: an initialisation whose variance falls with fan-in; normalisation; residual branches that
    start small.

    Source: Schoenholz et al. 2017 (arXiv:1611.01232); Zhang et al. 2019 (arXiv:1901.09321) for residual
    stacks. A gain of four decades, 100 in the outputs themselves, sent momentum SGD to NaN in measured nets
    of four layers.
    """

    code: ClassVar[str] = "TV104"
    name: ClassVar[str] = "signal-explosion"
    needs: ClassVar[frozenset[str]] = frozenset({"activation", "parameter"})
    ranges: ClassVar = {
        "warn": (0.1, 300),
        "decades": (0.1, 300),
        "consistency": (0, 1),
        "min_sites": (3, 1000),
    }

    warn: float = 4.0
    """powers of ten gained by the mean square over the depth that are a warning; from 0.1"""
    decades: float = 6.0
    """the same for critical, and gained since the start while the loss stands still; from 0.1"""
    consistency: float = 0.8
    """least R^2 of log mean square against depth; in [0, 1]"""
    min_sites: int = 4
    """fewest sites that make a depth to speak of; from 3"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        looks = window.looks("activation")
        if not looks:
            return
        born, now = Scale.of(looks[0]), Scale.of(looks[-1])
        overflown = bool(looks[-1]["activation"]["nonfinite"].any())
        if self._grows(born) and (overflown or self._grows(now)):
            yield self._over_depth(born, looks[0])
        elif (loops := _loops(looks[0], self.decades)) and (overflown or _loops(looks[-1], self.decades)):
            yield self._over_a_sequence(loops, looks[0].step)
        else:
            yield from self._over_time(window.finite.looks("activation"))

    def _grows(self, scale: Scale) -> bool:
        if len(scale) < self.min_sites or STRAIGHT * scale.range <= (least := min(self.warn, self.decades)):
            return False
        return scale.gain > least and scale.consistency > self.consistency

    def _over_depth(self, scale: Scale, look: Snapshot) -> Finding:
        gain, rises = scale.gain, np.diff(np.log10(scale.square))
        steepest = scale.sites[1 + int(np.argmax(rises))]
        above = [i for i in np.argsort(-scale.square) if scale.square[i] > scale.square[0] * 10**self.warn]
        return self.finding(
            Severity.CRITICAL if gain > self.decades else Severity.WARNING,
            where=named(look, (steepest, *(scale.sites[i] for i in above))),
            since=look.step,
            message=f"The mean square of the outputs grows by 10^{gain:.1f} from {scale.sites[0]} to "
            f"{scale.sites[-1]}, most of all at {steepest}.",
            cause="initialisation scale",
            evidence={
                "decades_gained": gain,
                "factor_per_site": float(10 ** np.median(rises)),
                "steepest_site": steepest,
                "last_rms": float(scale.square[-1] ** 0.5),
            },
            remedies=BORN,
        )

    def _over_a_sequence(self, gains: dict[str, float], since: int) -> Finding:
        worst = max(gains, key=lambda site: gains[site])
        return self.finding(
            Severity.CRITICAL,
            where=tuple(sorted(gains, key=lambda site: -gains[site])),
            since=since,
            message=f"The mean square of the states of {worst} is 10^{gains[worst]:.1f} times that of what "
            "it was given: they grow at every step of the sequence.",
            cause="initialisation scale: recurrent weights too large",
            evidence={"decades_gained": gains[worst]},
            remedies=LOOPED,
        )

    def _over_time(self, looks: Sequence[Snapshot]) -> Iterator[Finding]:
        if len(looks) < 2 or not stands_still(looks):
            return
        gains = _gains(looks[0], looks[-1])
        gain = median(list(gains.values())) if len(gains) >= 2 else 0.0
        if gain > self.decades:
            worst = sorted((s for s in gains if gains[s] > self.decades), key=lambda s: -gains[s])
            yield self.finding(
                Severity.CRITICAL,
                where=named(looks[-1], worst),
                since=next(s.step for s in looks if _gains(looks[0], s).get(worst[0], 0) > self.decades),
                message=f"The mean square of the outputs has grown by 10^{gain:.1f} since the start, and the "
                "loss stands still.",
                cause="grown in training: a step too large",
                evidence={"decades_gained": gain, "sites_above": len(worst)},
                remedies=GROWN,
            )


@remembered
def _loops(look: Snapshot, decades: float) -> dict[str, float]:
    """Recurrent modules, and the decades by which the mean square of their output is above that of the site
    before, or above 1. Only with a ReLU can it be, and a plain sum over 1,000 steps stays below 10^6.
    """
    table = look["activation"]
    found = {}
    for i in np.flatnonzero(table["op"] == "RNN"):
        before, after = max(float(table.rms[i - 1]), 1.0) if i else 1.0, float(table.rms[i])
        if after > 0 and (gain := 2 * math.log10(after / before)) > decades:
            found[table.names[i]] = gain
    return found


def _gains(start: Snapshot, now: Snapshot) -> dict[str, float]:
    """Decades by which each site is above the largest one at the start, but for the last, which is free."""
    before, after = Scale.of(start), Scale.of(now)
    if not len(before):
        return {}
    decades = np.log10(after.square / before.square.max())
    return dict(zip(after.sites[:-1], decades[:-1].tolist(), strict=True))
