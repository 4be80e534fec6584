"""TV101: finds units that no sample can wake up any more."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from torchvitals.builtin.parts.feeders import named
from torchvitals.builtin.parts.firing import course, silent
from torchvitals.builtin.parts.middle import median
from torchvitals.builtin.parts.progress import stands_still
from torchvitals.builtin.parts.wiring import column
from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.tables import Bits
from torchvitals.core.window import Window

LEAKY = frozenset({"leaky_relu", "prelu"})
MANY_LOOKS = 32
"""Looks after which small batches are judged from a quarter of the positions, rather than never."""
BORN_SILENT = 0.25
"""Share that deep nets are born with; a layer without neighbours is compared with it."""


@dataclass(frozen=True, kw_only=True)
class _Layer:
    site: str
    op: str
    units: int
    share: float
    at_start: float
    beside: float


@dataclass(frozen=True, kw_only=True)
class DeadUnits(Diagnostic):
    """Units of an activation layer that stayed silent for every sample of many batches.

    What it measures: for each unit or channel, whether its pre-activation reached the part of the activation
    where gradients pass, at any position (sample, time or place) of the latest batches. A unit that was below
    it at all of `positions` positions is dead. Zeros in the output are not death: a unit that fires for one
    sample in fifty is at work, and a healthy net may hold 95 % zeros.

    Why it matters: a silent ReLU passes exactly no gradient, so that nothing but luck in the layers below can
    bring it back. The layer computes with what is left.

    When it is wrong: nets lose units and learn all the same, and deep He-initialised ones are born with a
    fifth of them silent. So units that died count as an illness only while the loss stands still, and else as
    a note; a layer that is wholly silent, or has lost far more than its neighbours, is ill in any case. A
    unit that fires at 1 % of the positions stays silent at 1400 of them with probability 0.99^1400 < 1e-6;
    after 32 looks small batches are judged from a quarter of that, where a few rare units may be miscounted
    but no layer. Leaky units keep a small slope, so that they are never more than INFO.

    What to try: a lower learning rate if the units died in training, zero biases and He initialisation if
    they were born dead, a leaky activation in either case.

    Source: He et al. 2015 (arXiv:1502.01852) for the scale; Lu et al. 2019 (arXiv:1903.06733) for nets born
    dead.
    """

    code: ClassVar[str] = "TV101"
    name: ClassVar[str] = "dead-units"
    needs: ClassVar[frozenset[str]] = frozenset({"silence", "activation", "parameter"})
    ranges: ClassVar = {"positions": (1, 1e9), "max_growth": (0, 1), "max_share": (0, 1), "step_out": (0, 1)}

    positions: int = 1400
    """sample positions at which a unit must have been silent, all of them; from 1"""
    max_growth: float = 0.3
    """share of a layer that may die after the start before it is told; in [0, 1]"""
    max_share: float = 0.5
    """share of a layer above which it can be critical; in [0, 1]"""
    step_out: float = 0.45
    """excess over the neighbours that makes a share critical although the loss falls; in [0, 1]; a net that
    trained to a loss of 0.03 had 0.36
    """

    def diagnose(self, window: Window) -> Iterator[Finding]:
        looks = window.finite.looks("silence")
        if not looks:
            return
        dead = self._silent(looks[::-1], looks[-1]["silence"].names)
        shares = {site: _share(units) for site, units in dead.items()}
        suspects = [s for s in shares if shares[s] > min(self.max_growth, self.max_share)]
        if not suspects:
            return
        at_start = self._silent(looks, suspects)
        beside, ops = _neighbours(shares), column(looks[-1], "silence", "op")
        layers = [
            _Layer(
                site=site,
                op=str(ops[site]),
                units=len(dead[site]),
                share=shares[site],
                at_start=_share(at_start[site]) if site in at_start else 0.0,
                beside=beside.get(site, BORN_SILENT),
            )
            for site in suspects
        ]
        harmed = stands_still(looks)
        judged = [(self._severity(layer, harmed=harmed), layer) for layer in layers]
        ill = sorted((x for x in judged if x[0]), key=lambda x: (-x[0], -x[1].share))
        if ill:
            since = _since(looks, {x.site: dead[x.site] for _, x in ill})
            severity, layers = Severity(ill[0][0]), [x for _, x in ill]
            yield self._finding(severity, layers, looks[-1], len(shares), since, harmed=harmed)

    def blind(self, window: Window) -> str | None:
        looks = window.finite.looks("silence")
        if not looks or self._silent(looks[::-1], looks[-1]["silence"].names):
            return None
        return (
            f"{self.name}: units were looked at in fewer than {self.positions} positions, too few to judge."
        )

    def _silent(self, looks: Sequence[Snapshot], sites: Sequence[str]) -> dict[str, Bits]:
        """Units of these sites that were silent at all of `positions` positions of these looks, taken in
        order.
        """
        least = self.positions if len(looks) < MANY_LOOKS else self.positions / 4
        firings = course(looks, sites, until=self.positions)
        found = silent(firings, positions=self.positions, least=least)
        return {site: found[site] for site in sites if site in found}

    def _severity(self, layer: _Layer, *, harmed: bool) -> int:
        grown = layer.share - layer.at_start > self.max_growth
        apart = layer.share - layer.beside > self.step_out or (grown and harmed)
        if layer.share == 1.0 or (layer.share > self.max_share and apart):
            severity = Severity.CRITICAL
        else:
            severity = Severity.WARNING if grown and harmed else Severity.INFO if grown else 0
        return min(severity, Severity.INFO) if layer.op in LEAKY else severity

    def _finding(
        self,
        severity: Severity,
        ill: Sequence[_Layer],
        look: Snapshot,
        layers: int,
        since: int,
        *,
        harmed: bool,
    ) -> Finding:
        worst = ill[0]
        born = worst.at_start > worst.share / 2
        return self.finding(
            severity,
            where=named(look, (layer.site for layer in ill)),
            since=since,
            message=f"{worst.share:.0%} of the {worst.units} units of {worst.site} ({worst.op}) are dead"
            + (f"; {len(ill)} of {layers} layers are affected." if len(ill) > 1 else "."),
            cause="born dead: bias or initialisation" if born else "died in training: a step too large",
            evidence={
                "dead_share": worst.share,
                "dead_share_at_start": worst.at_start,
                "dead_share_of_neighbours": worst.beside,
                "layers_affected": len(ill),
                "loss_stands_still": str(harmed).lower(),
            },
            remedies=_remedies(born=born),
        )


def _share(units: Bits) -> float:
    return int(np.count_nonzero(units)) / len(units)


def _neighbours(shares: dict[str, float]) -> dict[str, float]:
    """For each site the larger share of the two beside it."""
    told = list(shares.values())
    pairs = zip([0.0, *told[:-1]], [*told[1:], 0.0], strict=True)
    return dict(zip(shares, map(max, pairs), strict=True)) if len(told) > 1 else {}


def _since(looks: Sequence[Snapshot], dead: dict[str, Bits]) -> int:
    """First step at which half of a site's units that are silent now had fired for the last time."""
    firings = course(looks[::-1], list(dead))[::-1]
    fired, known = np.array([f.fired for f in firings]), np.array([f.known for f in firings])
    steps, since = np.array([look.step for look in looks]), []
    for site, units in dead.items():
        rows = known[:, firings[0].sites.index(site)]
        since.append(_died(steps[rows], fired[rows, firings[0].places[site]][:, units]))
    return min(since)


def _died(steps: np.ndarray, fired: np.ndarray) -> int:
    """Step at which half of the units had fired for the last time; `fired` is of shape (steps, units)."""
    places = np.where(fired.any(0), len(fired) - fired[::-1].argmax(0), 0)
    return int(steps[min(int(median(places)) if places.size else 0, len(steps) - 1)])


def _remedies(*, born: bool) -> tuple[Remedy, ...]:
    leak = Remedy(
        "Let silent units learn: use an activation with a slope below zero.", ("activation=leaky_relu",)
    )
    if born:
        return (Remedy("Start with zero biases and He-scaled weights.", ("init=he_normal",)), leak)
    slower = Remedy("Lower the learning rate three- to tenfold, or warm it up.", ("scheduler=warmup_cosine",))
    return (slower, leak)
