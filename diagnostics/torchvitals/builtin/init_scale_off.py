"""TV308: finds weights whose scale makes signals or gradients fade or explode with depth, as theory says."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torchvitals.builtin.parts.chain import Chain
from torchvitals.builtin.parts.change import Change, change_of
from torchvitals.builtin.parts.opening import lingers
from torchvitals.builtin.parts.oversized import USUAL, head, oversized
from torchvitals.builtin.parts.profile import adaptive
from torchvitals.builtin.parts.progress import stands_still
from torchvitals.builtin.parts.theory import neutral, trainable_depth
from torchvitals.builtin.parts.uninitialised import uninitialised
from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.window import Window

LEAST_LAYERS = 3
"""Layers that make a depth to speak of."""
TANH_LIKE = frozenset({"tanh", "hardtanh", "softsign", "linear", "elu", "celu", "selu"})
"""Activations for which Xavier's variance of 1 is the customary one; He's of 2 is for the others."""


@dataclass(frozen=True, kw_only=True)
class InitScaleOff(Diagnostic):
    """Initial weights so large or small for their activation that depth makes powers of ten of it.

    What it measures: in the first look, over the longest chain of plain layers, how many decades the root
    mean square of the pre-activations and the norm of the gradient by them gain or lose; and what mean-field
    theory predicts of both from each layer's fan_in x mean square weight and its activation. It accuses where
    the two agree and where weights of the neutral variance (2 for ReLU, near 1 to 2 for tanh) would have kept
    them. Where theory does not fit, as in transformers, it accuses layers of 8 times the variance of He's
    weights if the loss begins far above that of a net that knows nothing and does not come down at once. A
    matrix that is 10^4 times larger than the others was never drawn at all.

    Why it matters: what fades in ten layers to a thousandth teaches the first layers a thousandth; what grows
    a hundredfold makes the net a chaotic function of its inputs.

    When it is wrong: theory knows neither normalisation nor residual sums, so a net that has them disagrees
    with it and is left alone, as are loops, the last layer, and activations that no scale helps. Adam and
    its kin make up for up to `rescaled` decades: ReLU nets of ten layers under torch's own initialisation,
    which lose 3.4, reach under Adam what they reach under He's, and never move under SGD. Nothing makes up
    for growth: of tanh nets that gain 2.9 decades none learns.

    What to try: weights of variance 2/fan-in for ReLU and its kin, 1/fan-in for tanh.

    Source: He et al. 2015 (arXiv:1502.01852); Poole et al. 2016 (arXiv:1606.05340); Schoenholz et al. 2017
    (arXiv:1611.01232).
    """

    code: ClassVar[str] = "TV308"
    name: ClassVar[str] = "init-scale-off"
    needs: ClassVar[frozenset[str]] = frozenset(
        {"activation", "activation_gradient", "features", "loss", "parameter"}
    )
    ranges: ClassVar = {
        "latent": (0.1, 300),
        "harmful": (0.1, 300),
        "decades": (0.1, 300),
        "rescaled": (0.1, 300),
        "off": (1, 1000),
        "large": (2, 1e9),
        "settle": (1, 64),
        "still": (1.1, 100),
    }

    latent: float = 1.5
    """decades gained or lost over the depth that are worth a note; from 0.1"""
    harmful: float = 2.0
    """decades that are a warning where they are gained, or lost while the loss stands still; from 0.1;
    measured on nets of 2 to 30 layers
    """
    decades: float = 3.0
    """decades that are critical; from 0.1; at a loss of 2.6 SGD still moved after a while"""
    rescaled: float = 6.0
    """the same for losses under Adam and its kin; from 0.1; at 5.9 they learned slowly, at 7.4 never"""
    off: float = 1.5
    """factor between a layer's weight variance and the neutral one that makes it an offender; from 1"""
    large: float = 16.0
    """first loss of a classifier over that of a net that knows nothing, from which layers are looked for
    that are to blame; from 2
    """
    settle: int = 16
    """steps within which it should have come down; in [1, 64]"""
    still: float = 3.0
    """loss over the expected one that is not down yet; from 1.1"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        looks = window.looks("activation", "parameter")
        if not looks:
            return
        garbage = uninitialised(looks[0])
        if garbage and set(garbage) & set(uninitialised(looks[-1])):
            yield self._never_drawn(garbage, looks)
            return
        chain = Chain.of(looks[0])
        change = change_of(looks[0]) if self._tells(chain) else None
        offenders = self._offenders(chain) if change is not None else []
        severity = None
        if change is not None and offenders and self._lasts(change, looks[-1]):
            severity = self._severity(change.measured, looks)
        if change is not None and severity is not None:
            yield self._finding(severity, change, chain, offenders, looks[0])
        elif lingers(window, large=self.large, times=self.still, settle=self.settle):
            yield from self._drowning(looks[0])

    def _tells(self, chain: Chain) -> bool:
        """Whether there are layers enough, and any change over them is worth a note."""
        if len(chain) < LEAST_LAYERS:
            return False
        most = max(abs(chain.signal), abs(chain.gradient or 0.0))
        return most > min(self.latent, self.harmful, self.decades, self.rescaled)

    def _drowning(self, look: Snapshot) -> Iterator[Finding]:
        """Layers, not the last one, that bring large outputs to the loss in a net that no theory fits."""
        gains = {site: gain for site, gain in oversized(look).items() if site != head(look)}
        if gains:
            worst = next(iter(gains))
            yield self.finding(
                Severity.WARNING,
                where=tuple(gains),
                since=look.step,
                message=f"The weights of {worst} have fan_in x variance {gains[worst]:.3g} where {USUAL:.0f} "
                f"is the largest in use, and {self.settle} steps did not bring the loss down to that of a "
                "net that knows nothing.",
                cause="initialisation scale: weights too large",
                evidence={"sigma_w2": gains[worst], "layers_off": len(gains)},
                remedies=_remedies("relu"),
            )

    def _lasts(self, change: Change, latest: Snapshot) -> bool:
        """Whether training has not yet brought it back; what overflows has not.

        Biases that grow bring the size of a signal back but not its gradient, so that either counts.
        """
        now = Chain.of(latest)
        if len(now) < LEAST_LAYERS:
            return True
        sign = math.copysign(1, change.measured)
        return max(sign * x for x in (now.signal, now.gradient) if x is not None) > self.latent

    def _severity(self, decades: float, looks: Sequence[Snapshot]) -> Severity | None:
        size, grows = abs(decades), decades > 0
        still = stands_still([look for look in looks if not look.nonfinite])
        limit = self.rescaled if adaptive(looks[0]) and not grows and not still else self.decades
        if size > limit:
            return Severity.CRITICAL
        if size > self.harmful and (grows or still):
            return Severity.WARNING
        return Severity.INFO if size > self.latent else None

    def _offenders(self, chain: Chain) -> list[int]:
        """Layers whose own variance is off in the direction of the change, worst first."""
        ratio = {i: math.log(s.weight / (neutral(s.op) or s.weight)) for i, s in enumerate(chain.layers) if i}
        return sorted((i for i in ratio if abs(ratio[i]) > math.log(self.off)), key=lambda i: -abs(ratio[i]))

    def _finding(
        self, severity: Severity, change: Change, chain: Chain, offenders: list[int], look: Snapshot
    ) -> Finding:
        worst = chain.layers[offenders[0]]
        kept = neutral(worst.op) or math.nan
        size = "large" if change.measured > 0 else "small"
        per_layer = 10 ** (change.measured / (len(chain) - 1))
        verb = "grows" if change.measured > 0 else "shrinks"
        way = "on its way back through" if change.what == "gradient" else "on its way through"
        return self.finding(
            severity,
            where=tuple(chain.layers[i].site for i in offenders),
            since=look.step,
            message=f"The {change.what} {verb} by 10^{abs(change.measured):.1f} {way} {len(chain)} layers, "
            f"as theory predicts (10^{abs(change.predicted):.1f}) of weights with fan_in x variance "
            f"{worst.weight:.2g} behind {worst.op}, where {kept:.2g} keeps it.",
            cause=f"initialisation scale: weights too {size} for {worst.op}",
            evidence={
                "decades_measured": change.measured,
                "decades_predicted": change.predicted,
                "decades_with_neutral_weights": change.mended,
                "sigma_w2": worst.weight,
                "neutral_sigma_w2": kept,
                "trainable_depth": trainable_depth(per_layer),
                "layers_off": len(offenders),
            },
            remedies=_remedies(worst.op),
        )

    def _never_drawn(self, garbage: dict[str, float], looks: Sequence[Snapshot]) -> Finding:
        name = max(garbage, key=lambda n: garbage[n])
        return self.finding(
            Severity.CRITICAL,
            where=tuple(sorted(garbage, key=lambda n: -garbage[n])),
            since=looks[0].step,
            message=f"The entries of {name} are {garbage[name]:.0e} times as large as those of the other "
            "parameters: it looks like memory that nobody has written to.",
            cause="a parameter that was never initialised",
            evidence={"times_the_median": garbage[name], "parameters_affected": len(garbage)},
            remedies=(Remedy("Draw its entries at random, or set them to 0: torch.empty does neither."),),
        )


def _remedies(op: str) -> tuple[Remedy, ...]:
    gain, init = ("1", "xavier_normal") if op in TANH_LIKE else ("2", "he_normal")
    return (
        Remedy(f"Draw the weights with variance {gain}/fan-in.", (f"init={init}",)),
        Remedy("Normalise between layers.", ("model.norm=batch",)),
        Remedy("Let the scale of each layer be fitted to a batch.", ("init=lsuv",)),
    )
