"""TV103: finds nets in which all samples come to look alike before they reach the last layer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from torchvitals.builtin.parts.constant import constant_norms
from torchvitals.builtin.parts.feeders import named
from torchvitals.builtin.parts.profile import ACTIVATIONS, adaptive
from torchvitals.builtin.parts.progress import stands_still
from torchvitals.builtin.parts.scale import Scale
from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot, remembered
from torchvitals.core.window import Window

SCALE = Remedy(
    "Use the initialisation that keeps the variance: He for ReLU and its kin.", ("init=he_normal",)
)
SWAP = Remedy(
    "Use an activation with slope 1, and its initialisation.", ("activation=relu", "init=he_normal")
)
SLOWER = Remedy("Lower the learning rate tenfold, or warm it up.", ("scheduler=warmup_cosine",))
TRAINED = "samples have come to look alike in training: a step too large, or no way around the layers"
REMEDIES = (
    Remedy("Normalise between layers.", ("model.norm=batch",)),
    Remedy("Give the signal a way around the layers.", ("model.residual=true",)),
)

BY_ACTIVATION = 0.6
"""Part of the fall inside bounded activations from which they are its cause."""


@dataclass(frozen=True, kw_only=True)
class SignalCollapse(Diagnostic):
    """Hidden layers behind which the samples of a batch can hardly be told apart.

    What it measures: the variance over the samples of a batch at the last hidden site, relative to that at
    the first site (or at the last normalisation); and relative to the mean square at the site itself, which
    is 1 minus the mean cosine between samples. The very last site has to have collapsed too, by at least as
    much of the way: a residual sum that leads around the last hidden site keeps the samples apart.

    Why it matters: what the last layer sees is a constant, so that it learns the frequencies of the classes
    and nothing else, and what tells samples apart drowns in rounding.

    When it is wrong: sigmoid nets of three layers are born with a mean cosine above 0.99, and learn. So a
    cosine is told only above 0.9999 and while the loss stands still. A fall of the variance by `decades` ends
    learning under plain SGD; Adam and its kin dig out nets of up to `rescaled` decades, for which it is a
    note until the loss stands still. A site of zeros is a branch that starts at zero or a layer that died,
    and no matter of this.

    What to try: an initialisation that fits the activation, normalisation, residual connections.

    Source: Schoenholz et al. 2017 (arXiv:1611.01232). A number less the mean of itself is 0.
    """

    code: ClassVar[str] = "TV103"
    name: ClassVar[str] = "signal-collapse"
    needs: ClassVar[frozenset[str]] = frozenset({"activation", "parameter"})
    ranges: ClassVar = {
        "decades": (0.1, 300),
        "rescaled": (0.1, 300),
        "alike": (0, 1),
        "looks": (1, 64),
        "constant": (2, 64),
    }

    decades: float = 6.0
    """powers of ten of the variance over samples that are critical; from 0.1; measured: SGD learned nothing
    at 5.7
    """
    rescaled: float = 12.0
    """the same under Adam and its kin; from 0.1; measured: they learned little at 12 and nothing at 15"""
    alike: float = 1e-4
    """variance over samples per mean square below which samples are alike; in [0, 1]; born sigmoid nets of
    three layers, which learn, have 1e-3
    """
    looks: int = 3
    """looks in a row that must agree that samples are alike; 1 to 64"""
    constant: int = 8
    """looks in a row at which a normalisation must give nothing but its bias; 2 to 64"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        looks = window.finite.looks("activation")
        if not looks:
            return
        if len(looks) >= self.constant and (norms := constant_norms(looks[-self.constant :])):
            yield self._constant(norms, looks)
            return
        fallen = (_fall(looks[0]), _fall(looks[-1]))
        past = [x for x in fallen if x is not None and x > min(self.decades, self.rescaled)]
        if len(past) == 2:  # from the start until now
            still = stands_still(looks)
            limit = self.rescaled if adaptive(looks[0]) and not still else self.decades
            severity = Severity.CRITICAL if past[0] > limit else Severity.INFO
            yield self._finding(severity, looks[0], Scale.of(looks[0]), still=still)
        elif self._are_alike(looks) and stands_still(looks):
            first = len(looks) - 1
            while first and self._alike(looks[first - 1]):
                first -= 1
            scale = Scale.of(looks[first], whole=True)
            yield self._finding(Severity.WARNING, looks[first], scale, still=True, grown=first > 0)

    def _are_alike(self, looks: Sequence[Snapshot]) -> bool:
        """Whether it holds at enough looks in a row."""
        return len(looks) >= self.looks and all(map(self._alike, looks[: -self.looks - 1 : -1]))

    def _alike(self, look: Snapshot) -> bool:
        """Whether the cosine between samples is nearly 1; a normalisation of each sample changes it little,
        and one over the batch takes away what they share. Behind an activation that gives only zeros they
        are, but it is the layer that died.
        """
        if _any_dead(look):
            return False
        scale = _judged(look, whole=True)
        return scale is not None and 0 < scale.variance[-2] < self.alike * scale.square[-2]

    def _constant(self, norms: Sequence[str], looks: Sequence[Snapshot]) -> Finding:
        return self.finding(
            Severity.WARNING,
            where=tuple(norms),
            since=looks[0 if constant_norms(looks) else -self.constant].step,
            message=f"{norms[0]} gives its bias and nothing else, whatever comes in: what it normalises is "
            "constant.",
            cause="normalisation over a single value",
            evidence={"norms_affected": len(norms)},
            remedies=(Remedy("Normalise over the features: give the norm their number and dimension."),),
        )

    def _finding(
        self, severity: Severity, look: Snapshot, scale: Scale, *, still: bool, grown: bool = False
    ) -> Finding:
        fall, last = _fall(look) or 0.0, scale.sites[-2]
        told = scale.variance if fall > self.decades else scale.variance / scale.square
        drops = -np.diff(np.log10(np.maximum(told[:-1], 1e-300)))
        steepest = scale.sites[1 + int(np.argmax(drops))]
        inside = drops[[op in ACTIVATIONS for op in scale.ops[1:-1]]].sum()
        by_activation = inside > BY_ACTIVATION * drops.sum()
        share = float(scale.variance[-2] / scale.square[-2])
        what = (
            f"their variance has fallen by 10^{fall:.1f} since {scale.sites[0]}"
            if fall > self.decades
            else f"their mean cosine is 1 - {share:.0e}, and the loss stands still"
        )
        return self.finding(
            severity,
            where=named(look, (steepest, last)),
            since=look.step,
            message=f"At {last} all samples look alike: {what}.",
            cause=TRAINED if grown else "activation slope" if by_activation else "initialisation scale",
            evidence={
                "decades_lost": fall,
                "variance_share": share,
                "steepest_site": steepest,
                "loss_stands_still": str(still).lower(),
            },
            remedies=(SLOWER if grown else SWAP if by_activation else SCALE, *REMEDIES),
        )


@remembered
def _any_dead(look: Snapshot) -> bool:
    table = look["activation"]
    functions = np.array([str(op).islower() for op in table["op"]], bool)
    return bool((functions & (table["sum_sq"] == 0)).any())


def _judged(look: Snapshot, *, whole: bool = False) -> Scale | None:
    """The look's sites where there are a first, a last hidden and a last one, of which the first knows its
    samples apart and the last does not start at zero.
    """
    scale = Scale.of(look, whole=whole)
    return scale if len(scale) >= 3 and scale.variance[0] > 0 and scale.variance[-1] > 0 else None


@remembered
def _fall(look: Snapshot) -> float | None:
    """Decades by which the variance over samples falls from the first site to the last hidden one, or to the
    last one where it fell less; None where it cannot be known.
    """
    scale = _judged(look)
    if scale is None or scale.variance[-2] <= 0:
        return None
    return float(np.log10(scale.variance[0] / max(scale.variance[-1], scale.variance[-2])))
