"""TV501: finds batches that cannot be learned from: numbers that are none, or samples that are all equal."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torchvitals.builtin.parts.origin import bad_loss, bad_rows
from torchvitals.builtin.parts.origins import input_origin
from torchvitals.builtin.parts.wiring import column
from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.window import Window

ROUNDING = 1e-11
"""Squared deviation over squared size that rounding alone may leave: means of equal float32 numbers measured
6e-14, and products of matrices round equal rows a little apart.
"""


@dataclass(frozen=True, kw_only=True)
class BadInput(Diagnostic):
    """NaN or Inf among the inputs, or inputs that are the same for all samples.

    What it measures: non-finite entries of what goes into the model, at every step, with the row of the first
    one; and at due steps how much the samples of a batch differ from one another, beside their targets.

    Why it matters: one NaN in a batch makes all weights NaN. Where all samples are equal there is nothing
    that a target could be told by.

    When it is wrong: masks of -inf and missing values that the model knows how to read are inputs, too: where
    output, loss and gradients stay finite it is a note. A single batch of equal samples is nothing, and
    equal numbers that accompany different samples (a time step, a mask of ones) are none either: all inputs
    have to be equal, and what the first layer makes of them, at `looks` looks in a row, while targets differ.

    What to try: look at the named sample; look for divisions by 0 and logarithms in the preprocessing, and
    for an index that is always the same.

    Source: an observation, not a statistic.
    """

    code: ClassVar[str] = "TV501"
    name: ClassVar[str] = "bad-input"
    needs: ClassVar[frozenset[str]] = frozenset(
        {"input", "output", "gradient", "features", "activation", "loss"}
    )
    ranges: ClassVar = {"looks": (1, 64), "recent": (1, 1e9)}

    looks: int = 3
    """looks in a row at which all samples were equal; 1 to 64"""
    recent: int = 64
    """steps for which a bad batch is told; from 1"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        if not window.snapshots:
            return
        since = window.latest.step - self.recent
        bad = [s for s in window.snapshots if "input" in s and s.step > since and bad_rows(s, "input")]
        equal = _equal(window.looks("features"))
        if bad:
            yield self._non_finite(next((s for s in bad if _harmed(s)), bad[0]), len(bad))
        elif len(equal) >= self.looks:
            yield self._constant(equal)

    def _non_finite(self, look: Snapshot, batches: int) -> Finding:
        origin = input_origin(look)
        assert origin is not None  # its rows are bad
        harmed = _harmed(look)
        return self.finding(
            Severity.CRITICAL if harmed else Severity.INFO,
            where=origin.where,
            since=look.step,
            message=origin.message if harmed else f"{origin.message} The model's output stays finite.",
            cause=origin.cause if harmed else "missing values or a mask, as it seems on purpose",
            evidence={**origin.evidence, "steps_affected": batches},
            remedies=origin.remedies,
        )

    def _constant(self, looks: Sequence[Snapshot]) -> Finding:
        return self.finding(
            Severity.CRITICAL,
            where=looks[-1]["features"].names[:1],
            since=looks[0].step,
            message=f"All samples of a batch are equal at each of {len(looks)} looks, while their targets "
            "differ.",
            cause="all samples are equal",
            evidence={"looks": len(looks)},
            remedies=(Remedy("Look at what the data set returns for two different indices."),),
        )


def _harmed(look: Snapshot) -> bool:
    """Whether what was made of the input is not finite either."""
    return bad_loss(look) or any(bad_rows(look, kind) for kind in ("output", "gradient"))


def _equal(looks: Sequence[Snapshot]) -> list[Snapshot]:
    """The latest looks in a row at which all samples were equal and their targets were not."""
    found: list[Snapshot] = []
    for look in reversed(looks):
        if not (_same_samples(look) and _targets_differ(look)):
            break
        found.append(look)
    return found[::-1]


def _same_samples(look: Snapshot) -> bool:
    """Whether no input tensor and not the first site tells samples apart.

    What an adapter gives as the batch may hold the targets, too: there every site has to agree instead.
    """
    given, made = _constant_rows(look, "features"), _constant_rows(look, "activation")
    if not (given and made and given[0] and made[0]):
        return False
    return all(given) or (look["features"].names[0] == "batch" and all(made))


def _constant_rows(look: Snapshot, kind: str) -> list[bool]:
    """For each row with at least two samples, in order, whether they are equal."""
    spread, freedom, size = (column(look, kind, name) for name in ("spread", "freedom", "sum_sq"))
    return [spread[name] <= ROUNDING * size.get(name, 0.0) for name in spread if freedom.get(name, 0.0) > 0]


def _targets_differ(look: Snapshot) -> bool:
    if "loss" not in look:
        return False
    low, high = column(look, "loss", "target_low"), column(look, "loss", "target_high")
    several = any(bits.sum() > 1 for bits in look["loss"].units.get("present", ()))
    return several or any(high.get(name, x) > x for name, x in low.items())
