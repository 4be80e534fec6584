"""TV102: finds layers whose bounded activations sit where they are flat."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from torchvitals.builtin.parts.feeders import named
from torchvitals.builtin.parts.middle import median
from torchvitals.builtin.parts.progress import stands_still
from torchvitals.builtin.parts.scale import loops
from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.window import Window

WEIGHTED = ("Linear", "Conv", "Bilinear")
"""Modules with weights; a bounded activation that none of them follows is an output."""
ONE_SIDED = 0.9
"""Mean over root mean square of the outputs beyond which all of them sit at one end."""
UNSCALED = 3.0
"""Root mean square of what a layer takes from which it counts as unscaled."""

SMALLER = Remedy("Draw the weights with variance 1/fan-in.", ("init=xavier_normal",))
SCALE = Remedy("Standardise the inputs: subtract their mean, divide by their standard deviation.")
SLOWER = Remedy("Lower the learning rate three- to tenfold, or warm it up.", ("scheduler=warmup_cosine",))
SWAP = Remedy(
    "Use an activation that does not saturate, and its initialisation.", ("activation=relu", "init=he_normal")
)


@dataclass(frozen=True, kw_only=True)
class SaturatedUnits(Diagnostic):
    """Hidden layers of tanh or sigmoid most of whose outputs sit at the ends of their range.

    What it measures: the share of each bounded activation's outputs at which its slope is nearly nothing:
    tanh beyond 0.97, sigmoid outside of [0.03, 0.97]; at the first look, and as a median of the latest three.

    Why it matters: at the ends no gradient passes. A net that is born there is a chaotic function of its
    inputs, and one that was thrown there in training comes back slowly if at all.

    When it is wrong: the expectation at birth is 4 % for tanh under Xavier's initialisation, 14 % under He's,
    and 89 % under N(0, 1) at width 256: more than half is no accident. But gates saturate by design. So the
    cells of recurrent nets and what no weights follow are left alone; layers that sit at one end only are
    closed gates, and a note; at birth half of the layers or one whole layer must be hit; and layers that
    saturate in training, as trained ones do, are a note while the loss falls.

    What to try: scaled inputs, weights of variance 1/fan-in, a lower learning rate; each where it is the
    cause.

    Source: Glorot and Bengio 2010; the shares were computed for wide layers and standardised inputs.
    """

    code: ClassVar[str] = "TV102"
    name: ClassVar[str] = "saturated-units"
    needs: ClassVar[frozenset[str]] = frozenset({"saturation", "activation", "parameter"})
    ranges: ClassVar = {"max_share": (0, 1), "whole": (0, 1), "looks": (1, 64)}

    max_share: float = 0.5
    """share of a layer's outputs that may be flat; in [0, 1]"""
    whole: float = 0.8
    """share that counts as a whole layer; in [0, 1]"""
    looks: int = 3
    """latest looks whose median share is judged; 1 to 64"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        looks = window.finite.looks(*self.needs)
        if not looks:
            return
        hidden = _hidden(looks[0])
        start, now = _shares(looks[:1]), _shares(looks[-self.looks :])
        ill = sorted((s for s in hidden if now.get(s, 0) > self.max_share), key=lambda s: -now[s])
        born = [s for s in ill if start[s] > self.max_share]
        if born:
            first = next(s for s in hidden if s in born)
            severity = self._at_birth(born, start, hidden, looks[0])
            yield self._finding(severity, looks[0], born, start, looks[0].step, *_reason(looks[0], first))
        elif ill and len(looks) > self.looks:
            severity = Severity.WARNING if stands_still(looks) else Severity.INFO
            cause = "saturated in training: a step too large"
            yield self._finding(
                severity, looks[-1], ill, now, self._since(looks, ill[0]), cause, (SLOWER, SWAP)
            )

    def _at_birth(
        self, born: Sequence[str], start: dict[str, float], hidden: Sequence[str], look: Snapshot
    ) -> Severity:
        both = [s for s in born if not _one_sided(look, s)]
        whole = [s for s in both if start[s] > self.whole]
        if not whole and len(both) < len(hidden) / 2:
            return Severity.INFO
        return Severity.CRITICAL if len(whole) >= len(hidden) / 2 else Severity.WARNING

    def _since(self, looks: Sequence[Snapshot], site: str) -> int:
        """First of the latest looks in a row at which the site was saturated."""
        first = looks[-1].step
        for look in reversed(looks):
            if _shares([look]).get(site, 1.0) <= self.max_share:
                break
            first = look.step
        return first

    def _finding(
        self,
        severity: Severity,
        look: Snapshot,
        ill: Sequence[str],
        share: dict[str, float],
        since: int,
        cause: str,
        remedies: tuple[Remedy, ...],
    ) -> Finding:
        worst = ill[0]
        return self.finding(
            severity,
            where=named(look, ill),
            since=since,
            message=f"{share[worst]:.0%} of the outputs of {worst} are at the ends of its range"
            + (f"; {len(ill)} layers are affected." if len(ill) > 1 else "."),
            cause=cause,
            evidence={"saturated_share": share[worst], "layers_affected": len(ill)},
            remedies=remedies,
        )


def _hidden(look: Snapshot) -> list[str]:
    """Bounded sites that have weights behind them and are not in the cell of a recurrent net."""
    activation = look["activation"]
    weighted = [i for i, op in enumerate(activation["op"]) if str(op).startswith(WEIGHTED)]
    ends = set(activation.names[weighted[-1] if weighted else 0 :])
    again = {name.partition("#")[0] for name in activation.names if "#" in name} if loops(activation) else ()
    return [s for s in look["saturation"].names if s not in ends and s.partition("#")[0] not in again]


def _shares(looks: Sequence[Snapshot]) -> dict[str, float]:
    """Median share of saturated outputs of each site that all of these looks have."""
    tables = [look["saturation"] for look in looks]
    each = [dict(zip(t.names, t["saturated"] / np.maximum(t["count"], 1), strict=True)) for t in tables]
    return {s: median([shares[s] for shares in each]) for s in each[0] if all(s in e for e in each)}


def _one_sided(look: Snapshot, site: str) -> bool:
    """Whether the outputs sit at one end only, as those of a closed or open gate do."""
    table = look["activation"]
    row = table.index(site)
    mean, rms = table["sum"][row] / table["count"][row], table.rms[row]
    low, high = (0.0, 1.0) if "sigmoid" in str(table["op"][row]) else (-1.0, 1.0)
    middle = (low + high) / 2
    spread = np.sqrt(max(rms**2 - 2 * middle * mean + middle**2, 0.0))  # root mean square distance from it
    return bool(abs(mean - middle) > ONE_SIDED * spread)


def _reason(look: Snapshot, site: str) -> tuple[str, tuple[Remedy, ...]]:
    """What puts a site there: the larger of the scale of what its layer takes and of that layer's weights.

    The former is the mean square of what the layer gives over its weights' fan-in x mean square.
    """
    activation, parameter = look["activation"], look["parameter"]
    for row in range(activation.index(site), -1, -1):
        name = f"{activation.names[row]}.weight"
        if name in parameter.names and (fan_in := parameter["fan_in"][parameter.index(name)]) > 0:
            weights = fan_in * parameter.rms[parameter.index(name)] ** 2
            if activation.rms[row] ** 2 > weights * max(UNSCALED**2, weights):
                return "unscaled input", (SCALE, SMALLER)
            break
    return "initialisation scale: weights too large", (SMALLER, SWAP)
