"""TV201: finds gradients that shrink from layer to layer on their way back, so that early layers stop
learning.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from torchvitals.builtin.parts.chance import BLOCK, at_chance
from torchvitals.builtin.parts.curve import Curve
from torchvitals.builtin.parts.feeders import named
from torchvitals.builtin.parts.memory import forgetting
from torchvitals.builtin.parts.middle import median
from torchvitals.builtin.parts.profile import Profile, adaptive, streak
from torchvitals.builtin.parts.progress import stands_still
from torchvitals.builtin.parts.trivial import trivial
from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.window import Window

CHANCE = 0.98
"""Loss over that of a constant prediction below which something was learned."""
REMEMBER = (
    Remedy("Use an LSTM or GRU whose gates start open: a forget bias of 1 and more."),
    Remedy("Start the recurrent weights orthogonal, or as the identity.", ("init=orthogonal",)),
    Remedy("Shorten the sequence, or read it from both ends."),
)


@dataclass(frozen=True, kw_only=True)
class VanishingGradient(Diagnostic):
    """Gradients that shrink by orders of magnitude from the last layer back to the first.

    What it measures: the norm of the gradient of the loss by every site's output, in execution order. It asks
    for a loss of more than `decades` decades from the last site to the first, for a steady loss (R^2 of log
    norm against depth), and for `looks` looks in a row; at the very first look one is enough if the loss is a
    decade larger. And through time, where the loss is that of a constant prediction after `time_steps` steps:
    the gradient by what a recurrent layer reads, in the first eighth of the sequence and in the last.

    Why it matters: with plain gradient descent a layer whose gradient is a thousand times smaller learns a
    thousand times slower: the first layers keep their random weights.

    When it is wrong: gradients by *weights* are not used, because in ReLU stacks <w, dL/dw> is the same in
    all layers whatever the initialisation, so that they look alike while the signal dies. Sites whose
    gradient is exactly 0 are left out (zero-initialised branches, cut graphs). Optimizers that rescale each
    parameter, such as Adam, can undo the shrinking: there it is INFO until the most starved layer's gradients
    fall below 10 eps, or its updates below what rounding keeps, or the loss stands still. The last is needed
    because gradients above eps are no proof of health: sigmoid stacks of ten layers stay on their plateau
    under Adam at 20 eps and more. Through time every recurrent net forgets, and learns all the same what is
    near the end: only where nothing at all is learned it counts.

    What to try: ReLU with He initialisation in place of sigmoid, an initialisation that fits the activation,
    batch or layer normalisation, residual connections.

    Source: Schoenholz et al. 2017 (arXiv:1611.01232), and Pascanu et al. 2013 (arXiv:1211.5063) for time;
    three decades because a layer that learns a thousand times slower than the last does not learn within any
    usual schedule.
    """

    code: ClassVar[str] = "TV201"
    name: ClassVar[str] = "vanishing-gradient"
    needs: ClassVar[frozenset[str]] = frozenset(
        {"activation", "activation_gradient", "gradient", "parameter", "update", "memory", "loss"}
    )
    ranges: ClassVar = {
        "decades": (0.1, 300),
        "consistency": (0, 1),
        "looks": (1, 64),
        "min_sites": (3, 1000),
        "time_looks": (1, 64),
        "time_steps": (24, 1_000_000_000),
    }

    decades: float = 3.0
    """powers of ten lost from the last site to the first; from 0.1"""
    consistency: float = 0.8
    """least R^2 of log norm against depth; in [0, 1]"""
    looks: int = 3
    """looks in a row that must agree; 1 to 64"""
    min_sites: int = 6
    """fewest sites with a gradient that make a depth to speak of; from 3"""
    time_looks: int = 8
    """fewest looks, of which three of four must have a gradient that fades through time; 1 to 64"""
    time_steps: int = 192
    """steps without any learning after which that is told; from 24"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        looks = window.finite.looks("activation_gradient")
        found = streak(looks, self._shrinks)
        early = bool(found) and len(found) == len(looks) and found[-1].growth < -self.decades - 1
        if early or len(found) >= self.looks:
            yield self._finding(found[-1], found[0].step, looks)
        else:
            yield from self._through_time(window)

    def _through_time(self, window: Window) -> Iterator[Finding]:
        """Where nothing is learned, the sequence may hold it where no gradient comes."""
        looks = window.finite.looks("memory")
        if len(looks) < self.time_looks or not _at_chance(window, self.time_steps):
            return
        found = forgetting(looks, decades=self.decades)
        if found:
            worst = found[0]
            yield self.finding(
                Severity.WARNING,
                where=tuple(layer.path for layer in found),
                since=looks[0].step,
                message=f"The gradient shrinks by 10^{worst.decades:.1f} on its way back through the "
                f"{worst.steps} time steps of {worst.path}, and the loss is that of a constant prediction.",
                cause=f"the {worst.op} forgets: what is early in the sequence is not learned from",
                evidence={"decades_lost": worst.decades, "time_steps": worst.steps},
                remedies=REMEMBER,
            )

    def _shrinks(self, profile: Profile) -> bool:
        lost = profile.growth < -self.decades
        return lost and profile.steady(min_sites=self.min_sites, consistency=self.consistency)

    def _finding(self, profile: Profile, since: int, looks: Sequence[Snapshot]) -> Finding:
        floor = profile.decades[-1] - self.decades
        starved = [profile.sites[i] for i in np.argsort(profile.decades) if profile.decades[i] < floor]
        reached = _reached(looks[-1], starved) if adaptive(looks[-1]) else None
        stalled = stands_still(looks)
        harmless = reached is not None and reached >= 1 and not stalled
        by_activation = profile.activation_part() > 0.6
        return self.finding(
            Severity.INFO if harmless else Severity.CRITICAL,
            where=named(looks[-1], starved),
            since=since,
            message=f"The gradient shrinks by 10^{-profile.growth:.1f} on its way back "
            f"from {profile.sites[-1]} to {profile.sites[0]}"
            + (", but the optimizer rescales it." if harmless else "."),
            cause="activation slope" if by_activation else "initialisation scale",
            evidence={
                "decades_lost": -profile.growth,
                "factor_per_site": profile.per_site,
                "consistency_r2": profile.consistency,
                "steepest_site": profile.steepest(growing=False),
                "loss_stands_still": str(stalled).lower(),
                **({"gradient_over_10_eps": reached} if reached is not None else {}),
            },
            remedies=_remedies(by_activation=by_activation),
        )


def _at_chance(window: Window, steps: int) -> bool:
    """Whether the loss is no better than that of a constant prediction after so many steps."""
    curve, bar = Curve.of(window), trivial(window)
    long = curve.span >= steps and len(curve) >= 3 * BLOCK
    return long and bar is not None and at_chance(curve, bar, share=CHANCE)


def _reached(look: Snapshot, starved: Sequence[str]) -> float | None:
    """RMS gradient of the most starved layer over 10 eps, 0 where its updates are rounded away.

    None where the optimizer has no eps or no starved site has parameters.
    """
    eps = look.scalars.get("eps")
    if eps is None or "gradient" not in look:
        return None
    table, layers = look["gradient"], {}
    for name, rms in zip(table.names, table.rms, strict=True):
        module = name.rpartition(".")[0]
        layers[module] = max(float(rms), layers.get(module, 0.0))
    starving = [layers[site] for site in starved if site in layers]
    if not starving:
        return None
    if _rounded_away(look, set(starved)):
        return 0.0
    return min(starving) / (10 * eps) if eps > 0 else math.inf


def _rounded_away(look: Snapshot, modules: set[str]) -> bool:
    """Whether the median update of these modules is below 2^-25 of the weight, what float32 keeps."""
    if "update" not in look or "parameter" not in look:
        return False
    update, parameter = look["update"], dict(zip(look["parameter"].names, look["parameter"].rms, strict=True))
    ratios = [
        rms / parameter[name]
        for name, rms in zip(update.names, update.rms, strict=True)
        if name.rpartition(".")[0] in modules and parameter.get(name, 0) > 0
    ]
    return bool(ratios) and look.scalars.get("lr", 1.0) > 0 and median(ratios) < 2**-25


def _remedies(*, by_activation: bool) -> tuple[Remedy, ...]:
    fit = Remedy(
        "Use the initialisation that keeps the variance: He for ReLU and its kin.", ("init=he_normal",)
    )
    swap = Remedy(
        "Use an activation with slope 1, and its initialisation.", ("activation=relu", "init=he_normal")
    )
    return (
        swap if by_activation else fit,
        Remedy("Normalise between layers.", ("model.norm=batch",)),
        Remedy("Give gradients a way around the layers.", ("model.residual=true",)),
    )
