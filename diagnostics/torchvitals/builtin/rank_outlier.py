"""TV602: finds the one rank whose gradients are broken or far from those of the others."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from torchvitals.builtin.parts.middle import median
from torchvitals.builtin.parts.ranks import gradients
from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.tables import NONE_BAD
from torchvitals.core.window import Window


@dataclass(frozen=True, kw_only=True)
class RankOutlier(Diagnostic):
    """One rank's local gradients are not finite, exactly 0, or of another size than the others'.

    What it measures: each rank's gradient norm before the ranks are averaged, and the first step at which its
    own loss was not finite. Non-finite entries on half of the ranks or fewer, or a loss that was lost there
    before it was lost on the others, are CRITICAL at one look. Among three ranks or more, the same rank's
    norm that is more than `factor` times larger or smaller than the median rank's at `looks` looks in a row
    is a WARNING.

    Why it matters: the average hides who is to blame: one rank with broken data or hardware spoils the step
    of all, and after the reduction every rank shows the same NaN.

    When it is wrong: under a gradient scaler overflows are by design, so that there only losses count. One
    rank's batch can be an outlier at a look, but hardly the same rank's many times
    over. Where ranks have different data or roles by design (experts, stages of a pipeline), their norms
    differ healthily: such gradients must not be given to it. Of two ranks nobody can tell which is the odd
    one, so that sizes are not judged.

    What to try: look at the data and the loader of that rank, at its precision and clipping, then at its
    hardware.

    Source: large trainings check local gradients before the collective for this reason; ten times at five
    looks because ranks draw from the same data, so that their norms differ by chance from look to look.
    """

    code: ClassVar[str] = "TV602"
    name: ClassVar[str] = "rank-outlier"
    needs: ClassVar[frozenset[str]] = frozenset({"rank_gradient"})
    ranges: ClassVar = {"factor": (2, 1e9), "looks": (1, 64)}

    factor: float = 10.0
    """norm over the median rank's, or the other way round; from 2"""
    looks: int = 5
    """looks in a row at which it must be the same rank; 1 to 64"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        looks = window.looks("rank_gradient")
        if not looks:
            return
        if broken := _broken(looks[-1]):
            yield self._broken(looks, broken)
        else:
            yield from self._far([look for look in looks if not _bad(look).any()])

    def _broken(self, looks: tuple[Snapshot, ...], ranks: tuple[str, ...]) -> Finding:
        table = gradients(looks[-1])
        first = table["first_step"][table.index(ranks[0])] if "first_step" in table.columns else NONE_BAD
        lost = first < NONE_BAD
        since = int(first) if lost else next(look.step for look in looks if ranks[0] in _broken(look))
        return self.finding(
            Severity.CRITICAL,
            where=ranks,
            since=since,
            message=f"Of {len(table)} ranks only {', '.join(ranks)} "
            + (
                f"had a loss that was not finite at step {since}."
                if lost
                else "has gradients that are not finite before they are averaged."
            ),
            cause="data or hardware of that rank",
            evidence={"ranks": len(table), "nonfinite": float(table["nonfinite"].max())},
            remedies=(Remedy(f"Look at the batch that {ranks[0]} was given, then at its hardware."),),
        )

    def _far(self, looks: list[Snapshot]) -> Iterator[Finding]:
        streak = [self._outliers(look) for look in looks[-self.looks :]]
        same = [rank for rank in streak[-1] if all(rank in found for found in streak)] if streak else []
        if not same or len(streak) < self.looks:
            return
        worst = same[0]
        since = looks[-1].step
        for look in reversed(looks):
            if worst not in self._outliers(look):
                break
            since = look.step
        ratio = self._ratios(looks[-1])[worst]
        yield self.finding(
            Severity.WARNING,
            where=tuple(same),
            since=since,
            message=f"The gradient norm of {worst} is time and again {ratio:.2g} times the median rank's.",
            cause="data or settings of that rank differ" if ratio > 0 else "that rank has no gradient",
            evidence={"ranks": len(gradients(looks[-1])), "norm_over_median": ratio},
            remedies=(Remedy(f"Compare the data, precision and clipping of {worst} with another rank's."),),
        )

    def _outliers(self, look: Snapshot) -> list[str]:
        """Ranks whose norm is too far from the median rank's, the farthest first."""
        away = {rank: max(r, 1 / r if r else np.inf) for rank, r in self._ratios(look).items()}
        return sorted((rank for rank, a in away.items() if a > self.factor), key=lambda rank: -away[rank])

    def _ratios(self, look: Snapshot) -> dict[str, float]:
        """Norm of each rank over the median rank's; empty for fewer than three ranks and a median of 0."""
        table = gradients(look)
        middle = median(table.norm) if len(table) > 2 else 0.0
        if not 0 < middle < np.inf:
            return {}
        return {rank: float(norm) / middle for rank, norm in zip(table.names, table.norm, strict=True)}


def _broken(look: Snapshot) -> tuple[str, ...]:
    """Ranks whose loss was lost before that of the others, or else those with non-finite gradients, where
    they are no more than half.
    """
    table = gradients(look)
    for bad in (_lost_first(look), _bad(look)):
        if bad.any() and 2 * bad.sum() <= len(table):
            return tuple(name for name, is_bad in zip(table.names, bad, strict=True) if is_bad)
    return ()


def _lost_first(look: Snapshot) -> np.ndarray:
    """Which ranks' loss was the first that was not finite: shape (ranks,)."""
    table = gradients(look)
    if "first_step" not in table.columns:
        return np.zeros(len(table), bool)
    first = table["first_step"]
    return (first < NONE_BAD) & (first == first.min())


def _bad(look: Snapshot) -> np.ndarray:
    """Which ranks' gradients are not finite, where no scaler lets them overflow on purpose."""
    table = gradients(look)
    return (table["nonfinite"] > 0) & ("loss_scale" not in look.scalars)
