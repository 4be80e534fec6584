"""TV202: finds gradients that grow from layer to layer, or from step to step, until numbers overflow."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from torchvitals.builtin.parts.feeders import named
from torchvitals.builtin.parts.profile import Profile, streak
from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.window import Window

BORN = (
    Remedy("Scale the weights by 1/sqrt(fan-in): He for ReLU, Xavier for tanh.", ("init=he_normal",)),
    Remedy("Normalise between layers.", ("model.norm=batch",)),
)
GROWN = (
    Remedy("Lower the learning rate tenfold, or warm it up.", ("scheduler=warmup_cosine",)),
    Remedy("Clip the gradient norm.", ("trainer.gradient_clip_val=1.0",)),
)


@dataclass(frozen=True, kw_only=True)
class ExplodingGradient(Diagnostic):
    """Gradients that grow by orders of magnitude, back through the layers or on through the steps.

    What it measures: over depth, the norm of the gradient of the loss by every site's output, in execution
    order: a steady growth of more than `decades` decades from the last site back to the first. Over time, the
    total norm of the gradients: a steady growth of more than `decades` decades within the window while the
    loss does not fall.

    Why it matters: the first layers take steps that are far too large, weights become huge, and NaN follows.

    When it is wrong: single large gradients are no illness, as recurrent nets under clipping show: only
    steady growth counts. Growth over depth is judged on one look, since it stands in the weights before the
    first step; a step that overflowed is left out.

    What to try: an initialisation whose variance falls with fan-in, a lower learning rate, clipping for
    recurrent nets, normalisation.

    Source: Pascanu et al. 2013 (arXiv:1211.5063); Schoenholz et al. 2017 (arXiv:1611.01232).
    """

    code: ClassVar[str] = "TV202"
    name: ClassVar[str] = "exploding-gradient"
    needs: ClassVar[frozenset[str]] = frozenset(
        {"activation", "activation_gradient", "gradient", "parameter"}
    )
    ranges: ClassVar = {
        "decades": (0.1, 300),
        "consistency": (0, 1),
        "min_sites": (3, 1000),
        "min_steps": (3, 64),
    }

    decades: float = 3.0
    """powers of ten gained from the last site back to the first, or over the window; from 0.1"""
    consistency: float = 0.8
    """least R^2 of log norm against depth or step; in [0, 1]"""
    min_sites: int = 6
    """fewest sites with a gradient that make a depth to speak of; from 3"""
    min_steps: int = 6
    """fewest steps that make a growth over time; from 3"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        looks = window.finite.looks("activation_gradient")
        found = streak(looks, self._grows)
        if found:
            yield self._over_depth(found[-1], looks[-1], found[0].step, born=found[0].step == looks[0].step)
        else:
            yield from self._over_time(window.finite)

    def _grows(self, profile: Profile) -> bool:
        gained = profile.growth > self.decades
        return gained and profile.steady(min_sites=self.min_sites, consistency=self.consistency)

    def _over_depth(self, profile: Profile, look: Snapshot, since: int, *, born: bool) -> Finding:
        hit = [profile.sites[i] for i in np.argsort(-profile.decades)]
        return self.finding(
            Severity.CRITICAL,
            where=named(look, hit[: max(1, len(hit) // 2)]),
            since=since,
            message=f"The gradient grows by 10^{profile.growth:.1f} on its way back "
            f"from {profile.sites[-1]} to {profile.sites[0]}.",
            cause="initialisation scale" if born else "weights have grown: learning rate too large",
            evidence={
                "decades_gained": profile.growth,
                "factor_per_site": profile.per_site,
                "consistency_r2": profile.consistency,
                "steepest_site": profile.steepest(growing=True),
            },
            remedies=BORN if born else GROWN,
        )

    def _over_time(self, window: Window) -> Iterator[Finding]:
        """Growth of the total norm over the steady stretch of steps that ends now."""
        seen = [s for s in window.snapshots if 0 < s.scalars.get("gradient_norm", 0.0) < math.inf]
        stretch = seen[-self.min_steps :]
        if len(stretch) < self.min_steps:
            return
        steps = np.array([s.step for s in stretch])
        y = np.log10([s.scalars["gradient_norm"] for s in stretch])
        # Heavy tails climb by chance, too, but not beyond all that was seen before.
        floor = max([y[0], *(math.log10(s.scalars["gradient_norm"]) for s in seen[: -self.min_steps])])
        if y[-1] - floor <= self.decades:
            return
        losses = [s.loss for s in stretch if s.loss is not None]
        falls = len(losses) > 1 and losses[-1] < losses[0]
        rate = float(np.polyfit(steps, y, 1)[0])
        steady = np.ptp(y) > 0 and np.corrcoef(steps, y)[0, 1] ** 2 > self.consistency
        if steady and rate > 0 and not falls:
            latest = [look["gradient"] for look in window.looks("gradient") if len(look["gradient"])]
            limit = float(latest[-1]["limit"].max()) if latest else 3.4e38
            yield self._growing(
                stretch[0].step, float(y[-1] - y[0]), rate, (math.log10(limit) - y[-1]) / rate
            )

    def _growing(self, begin: int, gained: float, rate: float, left: float) -> Finding:
        return self.finding(
            Severity.CRITICAL,
            where=("model",),
            since=begin
            + 1,  # what grows from step to step grows by updates, none of which came before the first
            message=f"The total gradient norm has grown by 10^{gained:.1f} since step {begin} and overflows "
            f"in about {max(left, 0):.0f} steps.",
            cause="learning rate too large",
            evidence={"decades_gained": gained, "decades_per_step": rate, "steps_to_overflow": left},
            remedies=GROWN,
        )
