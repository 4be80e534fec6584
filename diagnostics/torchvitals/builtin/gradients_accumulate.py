"""TV206: finds gradients that are never emptied, so that every step takes all earlier ones once more."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torchvitals.builtin.parts.wiring import column
from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.window import Window


@dataclass(frozen=True, kw_only=True)
class GradientsAccumulate(Diagnostic):
    """Gradients that nobody empties between two steps of their optimizer.

    What it measures: whether any backward pass since the optimizer's previous step found the gradient of one
    of its parameters empty (None, or all 0).

    Why it matters: what the optimizer consumes is then the sum of the gradients of the whole run. It acts
    like a momentum of 1: steps grow, and the loss oscillates and diverges.

    When it is wrong: accumulation over micro-batches is no illness, since the first of them finds the
    gradients empty. One step without emptying may be meant, so that `looks` in a row are asked for. Loops
    that fade gradients on purpose (`p.grad *= 0.9`) look the same.

    What to try: call `optimizer.zero_grad()` once per step, before the first backward pass or after the step.

    Source: it follows from what backward does, which adds to `.grad`; it is an observation, not a statistic.
    """

    code: ClassVar[str] = "TV206"
    name: ClassVar[str] = "gradients-accumulate"
    needs: ClassVar[frozenset[str]] = frozenset({"witness"})
    ranges: ClassVar = {"looks": (1, 64)}

    looks: int = 2
    """looks in a row at which gradients had not been emptied; 1 to 64"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        looks = window.looks("witness")
        held = [n for n, unzeroed in _unzeroed(looks[-1]).items() if unzeroed] if looks else []
        streaks = {name: _streak(looks, name) for name in held}
        ill = [name for name in held if len(streaks[name]) >= self.looks]
        if ill:
            yield self._finding(ill, streaks[ill[0]], alone=len(looks[-1]["witness"]) == 1)

    def _finding(self, ill: list[str], streak: Sequence[Snapshot], *, alone: bool) -> Finding:
        first, now = (column(look, "witness", "sum_sq").get(ill[0], 0.0) for look in (streak[0], streak[-1]))
        growth = (now / first) ** 0.5 if first > 0 else 1.0
        return self.finding(
            Severity.CRITICAL,
            where=("optimizer",) if alone else tuple(ill),
            since=streak[0].step,
            message=f"Gradients were not emptied before any of the last {len(streak)} steps that were looked "
            f"at; that of {ill[0]} is {growth:.1f} times as large as at step {streak[0].step}.",
            cause="zero_grad is missing",
            evidence={"looks": len(streak), "growth": growth, "optimizers_affected": len(ill)},
            remedies=(Remedy("Call optimizer.zero_grad() once per step, before the first backward pass."),),
        )


def _unzeroed(look: Snapshot) -> dict[str, bool]:
    """Whether each witness kept a gradient that there really was."""
    norms = column(look, "witness", "sum_sq")
    return {name: bool(u) and norms.get(name, 1.0) > 0 for name, u in _flags(look).items()}


def _flags(look: Snapshot) -> dict[str, float]:
    return column(look, "witness", "unzeroed")


def _streak(looks: Sequence[Snapshot], name: str) -> list[Snapshot]:
    """The latest looks in a row at which the witness had not been emptied, oldest first."""
    found: list[Snapshot] = []
    for look in reversed([look for look in looks if name in look["witness"].names]):
        if not _unzeroed(look).get(name):
            break
        found.append(look)
    return found[::-1]
