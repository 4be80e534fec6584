"""TV502: finds inputs and targets whose scale a net does not expect."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from torchvitals.builtin.parts.calls import DISTANCES, calls
from torchvitals.builtin.parts.harm import broken, crawls, harm_since, has_learned
from torchvitals.builtin.parts.oddity import Oddity
from torchvitals.builtin.parts.trivial import far_off
from torchvitals.core.finding import Finding, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.window import Window


@dataclass(frozen=True, kw_only=True)
class UnscaledData(Diagnostic):
    """Inputs or targets of a scale that is far from 1.

    What it measures: RMS and largest entry of each floating input of the model, the share of its spread that
    one column holds, and the RMS of regression targets over that of the output (which counts as at least 1).

    Why it matters: activations, logits and gradients scale with the input, so that a learning rate that suits
    others is too large by its square; bounded activations saturate; one large feature hides the others. A net
    whose outputs are near 1 spends its training on climbing to targets of 1e5.

    When it is wrong: many nets live with such data, and one that begins with a normalisation does not see the
    scale of its input, so it is silent then. Elsewhere it is a note, which becomes a warning with the harm:
    a loss that blew up, rose, overflowed, stands still or, as it falls now, takes as many steps again to come
    to that of a constant prediction, a first bounded activation that is flat almost everywhere, targets that
    after `CRAWL` looks are as far away as ever. Images in [-2.1, 2.7], one-hot inputs and raw logits have an
    RMS below 5, and an entry above 0.05; token ids are no floating numbers.

    What to try: standardise inputs and targets with the statistics of the training set.

    Source: LeCun et al. 1998, Efficient BackProp; 5 leaves out every usual standardisation, and
    asks for a learning rate 25 times smaller; pixels of 0 to 255 have about 100.
    """

    code: ClassVar[str] = "TV502"
    name: ClassVar[str] = "unscaled-data"
    needs: ClassVar[frozenset[str]] = frozenset({"activation", "features", "loss", "parameter", "saturation"})
    ranges: ClassVar = {
        "rms": (1, 1e9),
        "tiny": (0, 1),
        "column": (0.5, 1),
        "times": (1, 1e9),
        "flat": (0.1, 1),
    }

    rms: float = 5.0
    """root mean square of an input from which its scale is odd; from 1"""
    tiny: float = 0.05
    """largest entry of an input below which its scale is odd; in [0, 1]"""
    column: float = 0.99
    """share of an input's spread in one column from which that column hides the others; in [0.5, 1]"""
    times: float = 30.0
    """RMS of targets over the output's from which they are far away; from 1"""
    flat: float = 0.8
    """share of the first bounded activation's outputs that are flat, from which it is harmed; in [0.1, 1]"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        found = [*self._inputs(window), *self._targets(window)]
        if not found:
            return
        harms = {oddity: self._harm(window, oddity) for oddity in found}
        worst = max(found, key=lambda o: (harms[o] is not None, o.kind != "column"))
        harm = harms[worst]
        message = worst.message + (f", and {harm}." if harm else ".")
        yield self.finding(
            Severity.WARNING if harm else Severity.INFO,
            where=tuple(
                dict.fromkeys([*self._sufferer(window, worst), worst.where, *(o.where for o in found)])
            ),
            since=worst.since,
            message=message[0].upper() + message[1:],
            cause=worst.cause,
            evidence={worst.measure: worst.size, "harm": harm or "none"},
            remedies=worst.remedies,
        )

    def _inputs(self, window: Window) -> Iterator[Oddity]:
        looks = window.looks("features")
        if not looks or any(map(_normalised, window.looks("activation")[:1])):
            return
        table = looks[0]["features"]
        for i, name in enumerate(table.names):
            size = float(np.sqrt(table["sum_sq"][i] / table["count"][i])) if table["count"][i] else 0.0
            if size > self.rms:
                yield Oddity("input", name, size, looks[0].step)
            if 0 < table["abs_max"][i] < self.tiny:
                yield Oddity("small", name, float(table["abs_max"][i]), looks[0].step)
            if table["top_column"][i] > self.column:
                yield Oddity("column", name, float(table["top_column"][i]), looks[0].step)

    def _targets(self, window: Window) -> Iterator[Oddity]:
        """As they were at the first look, if the output has not reached them since."""
        looks = window.looks("loss")
        if looks:
            still = {name for name, _ in self._far(looks[-1])}
            for name, times in self._far(looks[0]):
                oddity = Oddity("target", name, times, looks[0].step)
                if name in still or self._harm(window, oddity):
                    yield oddity

    def _far(self, look: Snapshot) -> Iterator[tuple[str, float]]:
        for call in calls(look):
            times = call.target_rms / max(call.output_rms, 1.0)
            if call.op in DISTANCES and times > self.times:
                yield call.name, times

    def _sufferer(self, window: Window, oddity: Oddity) -> tuple[str, ...]:
        """The site that has to reach such targets, or that such an input has flattened; an input that none
        suffers from is named itself.
        """
        if oddity.kind == "input" and _flat(window) > self.flat:
            return window.looks("saturation")[0]["saturation"].names[:1]
        looks = window.looks("activation")
        return looks[-1]["activation"].names[-1:] if looks and oddity.kind == "target" else ()

    def _harm(self, window: Window, oddity: Oddity) -> str | None:
        if broken(window.latest):
            return None if has_learned(window, oddity.since) else "the numbers have overflowed"
        if oddity.kind == "target" and crawls(window):
            return "the loss crawls"
        if oddity.kind == "input" and _flat(window) > self.flat:
            return "the first bounded activation is flat almost everywhere"
        if oddity.kind != "target" and far_off(window):
            return "the loss is still far above that of a constant prediction"
        return harm_since(window, oddity.since, oddity.since)


def _normalised(look: Snapshot) -> bool:
    """Whether the first thing that the net does is to normalise."""
    table = look["activation"]
    return len(table) > 0 and "norm" in str(table["op"][0]).lower()


def _flat(window: Window) -> float:
    """Share of the first bounded activation's outputs that are flat at the first look; 0 without one."""
    for look in window.looks("saturation")[:1]:
        table = look["saturation"]
        if len(table) and table["count"][0] and math.isfinite(table["saturated"][0]):
            return float(table["saturated"][0] / table["count"][0])
    return 0.0
