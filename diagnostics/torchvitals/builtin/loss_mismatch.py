"""TV405: finds loss functions that are given what they do not take."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torchvitals.builtin.parts.calls import calls
from torchvitals.builtin.parts.course_rules import by_name, flipped, missing, silenced, weighted_by_count
from torchvitals.builtin.parts.harm import crawls, harm_since
from torchvitals.builtin.parts.loss_rules import mismatches
from torchvitals.builtin.parts.mismatch import Mismatch
from torchvitals.core.finding import Finding, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot, remembered
from torchvitals.core.window import Window


@dataclass(frozen=True, kw_only=True)
class LossMismatch(Diagnostic):
    """An output, a loss function and targets that do not go together.

    What it measures: each call of a loss function: what made its prediction, the shapes, the ranges of
    prediction and targets, the axis of a softmax, and the sign with which it enters the loss; whether class
    weights rise with the counts of the classes; and whether a loss written by hand compares every prediction
    with every target.

    Why it matters: torch computes a number all the same. A softmax before cross_entropy keeps the loss above
    1.46 for ten classes, a batch of shape (N, 1) against (N,) teaches the mean, nll_loss of raw logits falls
    for ever.

    When it is wrong: what is not wrong by itself is a note and becomes a warning only when the loss stands
    still: squared errors of probabilities (a proper score), a ReLU on the logits, until it keeps a class that
    occurs at 0, a softmax under binary_cross_entropy, for which under SGD a crawl is enough. A
    sum instead of a mean, a class that never occurs, whole targets of a regression are notes whatever
    happens. A target that is one number may be broadcast, as least-squares GANs do. Autoencoders on pixels in
    [0, 1], soft targets and tanh outputs for targets in [-1, 1] are healthy. Weights that favour frequent
    classes may be meant: with fewer than two on either side they are left alone.

    What to try: bare logits for cross_entropy and binary_cross_entropy_with_logits, a linear output for
    regression, one shape for prediction and target.

    Source: it follows from the definitions of the functions; a softmax taken twice has the floor
    ln(e + C - 1) - 1. The mean of f(p_i - t_j) over all pairs does not change when the targets are permuted.
    """

    code: ClassVar[str] = "TV405"
    name: ClassVar[str] = "loss-mismatch"
    needs: ClassVar[frozenset[str]] = frozenset({"activation", "loss", "silence"})
    ranges: ClassVar = {"looks": (1, 64), "targets": (1, 1e6)}

    looks: int = 16
    """looks over which a class has to be missing before it is noted; 1 to 64"""
    targets: float = 20.0
    """targets a class, on average, that must have been seen for that; from 1"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        looks = window.finite.looks("loss") or window.looks("loss")[:1]
        if not looks:
            return
        named = by_name(looks)
        found = [*_of_calls(looks[-1])]
        found += [*flipped(looks), *silenced(looks), *weighted_by_count(named, least=self.looks)]
        found += missing(looks, named, least=self.looks, targets=self.targets)
        if found:
            stalled = harm_since(window, looks[0].step, looks[0].step) is not None
            slow = crawls(window) and set(looks[0].labels.get("optimizer", "").split("+")) == {"SGD"}
            graded = [(m.severity(stalled=stalled, crawls=slow), name, m) for name, m in found]
            yield self._finding(sorted(graded, key=lambda f: -f[0]), looks, stalled=stalled)

    def _finding(
        self, found: Sequence[tuple[Severity, str, Mismatch]], looks: Sequence[Snapshot], *, stalled: bool
    ) -> Finding:
        severity, name, worst = found[0]
        same = [look.step for look in looks if _says(look, name, worst.cause)]
        return self.finding(
            severity,
            where=(*_output(looks[-1]), *dict.fromkeys(n for grade, n, _ in found if grade is severity)),
            since=min(same, default=looks[0].step),
            message=worst.message,
            cause=worst.cause,
            evidence={**worst.evidence, "loss_stands_still": str(stalled).lower()},
            remedies=(worst.remedy,),
        )


def _output(look: Snapshot) -> tuple[str, ...]:
    """The site that gave the model's output: what stands before the loss and has to change."""
    return look["activation"].names[-1:] if "activation" in look else ()


@remembered
def _of_calls(look: Snapshot) -> list[tuple[str, Mismatch]]:
    """Name of each call, and what is wrong with it."""
    return [(call.name, m) for call in calls(look) for m in mismatches(call)]


def _says(look: Snapshot, name: str, cause: str) -> bool:
    return any(n == name and m.cause == cause for n, m in _of_calls(look))
