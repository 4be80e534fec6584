"""TV302: finds steps so large that they throw away what the weights held."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torchvitals.builtin.parts.decay import decay_rules
from torchvitals.builtin.parts.harm import PATIENCE, broken, harm_since
from torchvitals.builtin.parts.middle import median
from torchvitals.builtin.parts.ratios import Ratios
from torchvitals.builtin.parts.spells import CALM, Spell, spells
from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot, remembered
from torchvitals.core.window import Window

SHORT = 16
"""Looks after which a loss that has not moved is a failure where the weights were replaced altogether."""
HEAVY = 0.97
"""Momentum from which it, and not only the learning rate, is told as the reason."""


@dataclass(frozen=True, kw_only=True)
class UpdateTooLarge(Diagnostic):
    """Updates of the size of the weights themselves, and a loss that suffers from them.

    What it measures: RMS of each true update over RMS of its weight matrix, the median over the matrices (or
    a tenth of the largest). Looks in a row above `brisk` are a spell; under a momentum above 0.97
    it lasts until they are below half of that. A spell is large when what lies above `limit` adds up to
    `moved`, so that one step of that size is enough, as are some that just exceed the limit; it is long when
    it has `looks` looks.

    Why it matters: a step that replaces the weights forgets what they had learned; units die, the loss climbs
    and overflows.

    When it is wrong: large steps alone are no illness. The first ones of Adam are lr/RMS(w), and matrices
    before a normalisation live with a tenth. So a large spell is a note, and becomes CRITICAL when the loss
    blew up, rose above its start or never left it, or when the numbers ended in NaN. Looks at which weight
    decay pulls harder than the gradient are left out. A long spell below the
    limit is told only together with a loss that rose. A loss that was 0 or less once cannot be judged.

    What to try: a learning rate ten times smaller, a warm-up, clipping of the gradient norm; where the
    momentum is above 0.97, 0.9.

    Source: ratios of healthy and ill runs on digits and Markov sentences under SGD, momentum and Adam: the
    healthy ones have at most 0.09 (0.13 with batch normalisation), those that fail above 0.1, or above 0.03
    for long.
    """

    code: ClassVar[str] = "TV302"
    name: ClassVar[str] = "update-too-large"
    needs: ClassVar[frozenset[str]] = frozenset({"gradient", "loss", "parameter", "update"})
    ranges: ClassVar = {"limit": (0.01, 10), "brisk": (0.001, 10), "moved": (0.01, 100), "looks": (1, 64)}

    limit: float = 0.1
    """update over weight from which an update is large; from 0.01"""
    brisk: float = 0.03
    """update over weight from which looks belong to a spell; from 0.001, at most `limit`"""
    moved: float = 0.3
    """sum over a spell of the ratios above `limit` from which it is large; from 0.01"""
    looks: int = 8
    """looks of a spell that make it long; 1 to 64"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        # What weight decay moves is TV307's.
        looks = window.finite.looks("gradient", "parameter", "update")
        measured = [ratios for look in looks if (ratios := _moved_by_gradient(look)) is not None]
        lasts = CALM if looks and _heavy(looks[-1]) else 1.0
        found = spells(measured, brisk=min(self.brisk, self.limit), lasts=lasts)
        for spell, ongoing in reversed(found):
            harm = self._harm(spell, window, ongoing=ongoing)
            if harm is not None or (ongoing and self._large(spell)):
                yield self._finding(spell, window, harm)
                return

    def _moved(self, spell: Spell) -> float:
        return sum(r.size for r in spell if r.size > self.limit)

    def _large(self, spell: Spell) -> bool:
        return self._moved(spell) >= self.moved

    def _harm(self, spell: Spell, window: Window, *, ongoing: bool) -> str | None:
        large = self._large(spell)
        if large and ongoing and broken(window.latest):
            return "the numbers have overflowed"
        if not (large or len(spell) >= self.looks):
            return None
        ended = window.latest.step if ongoing else spell[-1].step
        patience = SHORT if self._moved(spell) >= 1 else PATIENCE
        harm = harm_since(window, spell[0].step, ended, patience=patience)
        return harm if large or harm != "the loss stands still" else None

    def _finding(self, spell: Spell, window: Window, harm: str | None) -> Finding:
        worst = max(spell, key=lambda r: r.size)
        order = sorted(worst.matrices, key=lambda name: -worst.matrices[name])
        look = next(s for s in window.snapshots if s.step == spell[0].step)
        said = f", and {harm}" if harm else "; the loss does not suffer from it"
        heavy = _heavy(look)
        return self.finding(
            Severity.INFO if harm is None else Severity.CRITICAL,
            where=tuple(order),
            since=spell[0].step,
            message=f"Updates reach {_share(worst.size)} the weights at step {worst.step}{said}.",
            cause="learning rate too large" + (" for this momentum" if heavy else ""),
            evidence={
                "median_ratio": median(list(worst.matrices.values())),
                "largest_ratio": max(worst.matrices.values()),
                "looks_in_a_row": len(spell),
                "harm": harm or "none",
            },
            remedies=_remedies(look, heavy=heavy),
        )


@remembered
def _moved_by_gradient(look: Snapshot) -> Ratios | None:
    """None where weight decay moved the weights, or nothing moved a matrix."""
    ratios = None if decay_rules(look) else Ratios.of(look)
    return ratios if ratios is not None and ratios.some else None


def _heavy(look: Snapshot) -> bool:
    return look.scalars.get("momentum", 0.0) >= HEAVY


def _share(ratio: float) -> str:
    return f"{ratio:.3g} times" if ratio >= 1 else f"{100 * ratio:.3g} % of"


def _remedies(look: Snapshot, *, heavy: bool) -> tuple[Remedy, ...]:
    lr = look.scalars.get("lr")
    lower = (f"optimizer.lr={lr / 10:.2g}",) if lr else ()
    calm = (Remedy("Set the momentum to 0.9.", ("optimizer.momentum=0.9",)),) if heavy else ()
    return (
        *calm,
        Remedy("Lower the learning rate tenfold.", lower),
        Remedy("Warm the learning rate up.", ("scheduler=warmup_cosine",)),
        Remedy("Clip the gradient norm.", ("trainer.gradient_clip_val=1.0",)),
    )
