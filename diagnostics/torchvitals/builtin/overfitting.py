"""TV406: finds a validation loss that gives back what was gained while the training loss falls, and
normalisation that evaluates with other statistics than it trains with.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torchvitals.builtin.parts.middle import comes_down, median
from torchvitals.builtin.parts.pair import Pair
from torchvitals.builtin.parts.running import MOMENTUM, Slip, behind, slip
from torchvitals.builtin.parts.trivial import trivial
from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.window import Window

STATISTICS = "running statistics of the normalisation are not those of the batches"
OTHER = "validation data or eval mode differs from training: normalisation statistics, preprocessing, labels"
RECOVERS = 0.5
"""Fall of the validation loss by which slow running statistics are on their way to where they belong."""
HEART = (
    Remedy("Stop at the best validation loss, or use weight decay.", ("optimizer.weight_decay=0.01",)),
    Remedy("Use dropout.", ("model.dropout=0.2",)),
    Remedy("Check that labels belong to their inputs: noise is learned by heart."),
)
SAME = (
    Remedy("Give both sets the same preprocessing."),
    Remedy("Check running statistics: momentum and batch size of the normalisation, model.eval()."),
)


@dataclass(frozen=True, kw_only=True)
class Overfitting(Diagnostic):
    """A net that gets worse on unseen data while it gets better on its training data.

    What it measures: validation losses as they were told, and the median training loss around each. Four
    pictures are told apart, each at the latest `validations`. Turned: all are above the best one by more than
    a fifth of the untrained loss and by more than `share` of what had been gained on unseen data, and the
    training loss has fallen since. Apart: each is more than `gap` times the training loss, and no validation
    brought the loss below `least` of the untrained one; if this was so from the first validation on and
    the losses are above one and a half untrained ones, other data or another mode is the cause. Where batch
    norms have running statistics that are far from those of their batches, the gap is enough, and it is they
    that are named. Nothing gained: no validation was
    ever better than a constant prediction, while the training loss is below `learned` of it. And without a
    validation loss: running statistics that are far from those of the batches at each of the latest `looks`
    looks and have not moved since the first one; and batch norms that all see two values of a channel, of
    which one becomes 1 and the other -1, whatever they were.

    Why it matters: the first learns its samples by heart; the second validates something else than it trains,
    so that the numbers mean nothing.

    When it is wrong: a validation loss that creeps up while the training loss goes to 0 is usual, and
    accuracy often stays: below `share` of the gain nothing is said. A validation loss below the training
    loss is healthy under dropout and augmentation. Grokking looks exactly like overfitting
    until it generalises: it is known to need a strong weight decay, so that from `decay` on both are INFO.
    Grokking without it is accused. Norms in eval mode, as in fine-tuning, are no matter of this, nor are
    statistics that follow slowly, as long as no validation suffers from it.

    What to try: more data or augmentation, weight decay, dropout, stopping early; check that labels belong
    to their inputs. For a gap from the start: the same preprocessing for both sets, `model.eval()`, running
    statistics of the normalisation, their batch size.

    Source: Prechelt 1998 (early stopping); Power et al. 2022 (arXiv:2201.02177) for grokking; Ioffe and
    Szegedy 2015 (arXiv:1502.03167) for what running statistics are for. Of two values d apart, each is d/2
    from their mean, which is their standard deviation.
    """

    code: ClassVar[str] = "TV406"
    name: ClassVar[str] = "overfitting"
    needs: ClassVar[frozenset[str]] = frozenset({"loss", "normalisation"})
    ranges: ClassVar = {
        "validations": (2, 64),
        "share": (0.05, 1),
        "gap": (1.5, 1000),
        "least": (0.05, 1),
        "learned": (0.05, 1),
        "decay": (0, 1000),
        "looks": (2, 64),
    }

    validations: int = 3
    """validations in a row that must agree; 2 to 64"""
    share: float = 0.5
    """part of the gain on unseen data that is lost again; in [0.05, 1]"""
    gap: float = 3.0
    """validation loss over training loss; from 1.5"""
    least: float = 0.6
    """best validation loss over the untrained one that counts as a gain; in [0.05, 1]"""
    learned: float = 0.9
    """training loss over that of a constant prediction below which something was learned; in [0.05, 1]"""
    decay: float = 0.1
    """weight decay from which late generalisation is to be expected; 0 or more"""
    looks: int = 16
    """looks in a row at which all batches must have been far from running statistics that do not move, or of
    two values; 2 to 64
    """

    def diagnose(self, window: Window) -> Iterator[Finding]:
        if (found := slip(window, looks=self.looks)) is not None:
            yield self._slip(found, since=window.finite.looks("normalisation")[0].step)
            return
        pair = Pair.of(window)
        if pair is None or len(pair.steps) < self.validations:
            return
        stale = tuple(norm.path for norm in behind(window, looks=self.looks))
        if self._apart(pair, stale=bool(stale)):
            yield self._gap(window, pair, stale)
        elif self._turned(pair) or self._in_vain(pair, trivial(window)):
            yield self._turn(window, pair)

    def _apart(self, pair: Pair, *, stale: bool) -> bool:
        apart = (pair.validation > self.gap * pair.training)[-self.validations :].all()
        stuck = pair.validation.min() > self.least * pair.untrained > 0
        last = pair.validation[-2 * self.validations :]
        late = len(last) == 2 * self.validations and not comes_down(last, to=RECOVERS)
        return bool(apart and ((stuck and not comes_down(last, to=0.9)) or (stale and late)))

    def _turned(self, pair: Pair) -> bool:
        best = float(pair.validation[pair.best])
        gain = max(pair.untrained, float(pair.validation[0])) - best
        bar = best + max(self.share * gain, abs(pair.untrained) / 5)
        last = pair.validation[-self.validations :]
        risen = bool((last > bar).all()) and pair.best < len(pair.steps) - self.validations
        return risen and pair.training[-1] < pair.training[pair.best]

    def _in_vain(self, pair: Pair, known: float | None) -> bool:
        if known is None or pair.validation.min() < 0.98 * known:
            return False
        return bool((pair.training[-self.validations :] < self.learned * known).all())

    def _severity(self, window: Window) -> Severity:
        decay = max((s.scalars.get("weight_decay", 0.0) for s in window.snapshots), default=0.0)
        return Severity.INFO if decay >= self.decay else Severity.WARNING

    def _turn(self, window: Window, pair: Pair) -> Finding:
        best, now = float(pair.validation[pair.best]), float(pair.validation[-1])
        return self.finding(
            self._severity(window),
            where=("model",),
            since=int(pair.steps[pair.best]),
            message=f"The validation loss, {best:.3g} at its best, is {now:.3g} "
            f"while the training loss fell to {pair.training[-1]:.3g}.",
            cause="overfitting: samples are learned by heart",
            evidence=_evidence(pair),
            remedies=HEART,
        )

    def _gap(self, window: Window, pair: Pair, stale: tuple[str, ...]) -> Finding:
        born = bool((pair.validation > self.gap * pair.training).all())
        alien = born and median(pair.validation) > 1.5 * pair.untrained
        cause = STATISTICS if stale else OTHER if alien else f"overfitting, or {OTHER}"
        return self.finding(
            self._severity(window),
            where=stale or ("model",),
            since=int(pair.steps[0]),
            message=f"The validation loss is {'and always was ' if born else ''}far above the training loss: "
            f"{pair.validation[-1]:.3g} against {pair.training[-1]:.3g}.",
            cause=cause,
            evidence=_evidence(pair),
            remedies=(MOMENTUM,) if stale else (*SAME, *HEART) if born else (*HEART, *SAME),
        )

    def _slip(self, found: Slip, *, since: int) -> Finding:
        worst = found.norms[0]
        return self.finding(
            Severity.WARNING,
            where=tuple(norm.path for norm in found.norms),
            since=since,
            message=found.message,
            cause=found.cause,
            evidence={
                "norms_affected": len(found.norms),
                "values_of_a_channel": worst.samples,
                "deviations_apart": worst.shift,
                "log_of_variances_apart": worst.stretch,
                "momentum": worst.momentum,
            },
            remedies=found.remedies,
        )


def _evidence(pair: Pair) -> dict[str, float]:
    return {
        "best_validation_loss": float(pair.validation[pair.best]),
        "validation_loss": float(pair.validation[-1]),
        "training_loss": float(pair.training[-1]),
        "untrained_loss": pair.untrained,
    }
