"""TV306: finds trainings in which gradients are computed but no weight ever moves."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torchvitals.builtin.parts.stillness import emptied, late, simple, still
from torchvitals.builtin.parts.wiring import calm_looks, column, ever, moved, owners
from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.window import Window

ORDER = Remedy("Keep the order zero_grad, backward, step in every iteration.")


@dataclass(frozen=True, kw_only=True)
class NoUpdate(Diagnostic):
    """Weights that stay bit for bit the same although there is something to learn from.

    What it measures: the true update of every parameter that an optimizer holds, beside its gradient and the
    learning rate; the gradients that reach the sites in the backward pass, beside those that the optimizer
    finds when it steps; whether an optimizer has stepped at all.

    Why it matters: nothing is learned, and no error says so.

    When it is wrong: a warm-up that begins at 0 makes no first update, and a decay ends with none, so that a
    learning rate of 0 counts only if it was so from the start. Steps that a scaler skipped, frozen nets,
    gradients of 0, and updates so small that rounding may have taken them are left out, and so are optimizers
    that may refuse a step, such as LBFGS when it has converged, once they have made one. Any weight that
    moves, whoever moved it, acquits the run.

    What to try: one optimizer.step() per iteration, after backward; zero_grad before backward or after the
    step; a learning rate above 0.

    Source: it follows from the order of a training step; an observation, not a statistic.
    """

    code: ClassVar[str] = "TV306"
    name: ClassVar[str] = "no-update"
    needs: ClassVar[frozenset[str]] = frozenset(
        {"gradient", "activation_gradient", "parameter", "update", "wiring", "witness"}
    )
    ranges: ClassVar = {"looks": (2, 64), "rateless": (2, 64), "turns": (2, 64)}

    looks: int = 3
    """looks in a row at which nothing moved; 2 to 64"""
    rateless: int = 8
    """steps from the start with a learning rate of 0 that are no warm-up any more; 2 to 64"""
    turns: int = 24
    """looks after which an optimizer that has not stepped is not waiting for its turn; 2 to 64"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        if not window.snapshots:
            return
        never = _tail(window.snapshots, lambda s: s.labels.get("stepped") == "no")
        if len(never) > 1:
            yield self._never(never)
            return
        looks = calm_looks(window, "parameter")
        if self._rateless(window) and not moved(looks):
            yield self._no_rate(window)
            return
        lost = _tail(looks, emptied)
        stuck = _tail(looks, still)
        if len(lost) >= self.looks and _reachable(window):
            yield self._emptied(lost)
        elif len(stuck) >= self.looks and not moved(stuck if simple(stuck[-1]) else looks):
            yield self._still(stuck)
        elif waiting := self._waiting(looks, window):
            yield self._one_never(waiting, looks)
        elif late(looks):
            yield self._late(looks[0], looks[1])

    def _rateless(self, window: Window) -> bool:
        rates = [s.scalars["lr"] for s in window.snapshots if "lr" in s.scalars]
        begun = window.snapshots[0].step == 0
        return begun and len(rates) >= self.rateless and max(rates) == 0.0

    def _waiting(self, looks: Sequence[Snapshot], window: Window) -> list[str]:
        """Held parameters to which the loss leads, that no step ever took in hand while others moved."""
        reached = ever(window.looks("wiring"), "wiring", "reached")
        now = column(looks[-1], "gradient", "count") if looks else {}
        if len(looks) < self.turns or reached.keys() <= now.keys():
            return []
        changed = moved(looks)
        given = {name for look in looks for name in column(look, "gradient", "count")}
        if not given & changed:
            return []
        held = column(looks[-1], "parameter", "held")
        idle = [n for n, yes in reached.items() if yes and held.get(n) and n not in given | changed]
        return [name for name in idle if all(column(look, "update", "count").get(name) for look in looks)]

    def _one_never(self, waiting: list[str], looks: Sequence[Snapshot]) -> Finding:
        return self.finding(
            Severity.WARNING,
            where=owners(waiting),
            since=looks[0].step,
            message=f"{len(waiting)} parameters that the loss leads to were in no optimizer's step at any of "
            f"{len(looks)} looks, while others learned.",
            cause="one of several optimizers is never stepped",
            evidence={"parameters_waiting": len(waiting), "looks": len(looks)},
            remedies=(Remedy("Call step() of each optimizer."),),
        )

    def _never(self, steps: Sequence[Snapshot]) -> Finding:
        return self.finding(
            Severity.CRITICAL,
            where=("optimizer",),
            since=steps[0].step,
            message=f"No optimizer has stepped in {len(steps)} iterations, and their gradients were dropped.",
            cause="optimizer.step is never called",
            evidence={"iterations": len(steps)},
            remedies=(Remedy("Call optimizer.step() once per iteration, after backward."),),
        )

    def _no_rate(self, window: Window) -> Finding:
        return self.finding(
            Severity.WARNING,
            where=("optimizer",),
            since=window.snapshots[0].step,
            message=f"The learning rate has been 0 since the start, for {window.latest.step + 1} steps.",
            cause="learning rate is 0",
            evidence={"steps": window.latest.step + 1},
            remedies=(Remedy("Set a learning rate, or let the warm-up begin above 0."),),
        )

    def _emptied(self, looks: Sequence[Snapshot]) -> Finding:
        dropped = sum(sum(column(s, "witness", "dropped").values()) for s in looks)
        return self.finding(
            Severity.CRITICAL,
            where=("optimizer",),
            since=looks[0].step,
            message=f"The backward pass brings gradients, but the optimizer found none at any of "
            f"{len(looks)} looks.",
            cause="gradients are emptied before the step: zero_grad stands between backward and step, or "
            "step before backward",
            evidence={"looks": len(looks), "gradients_dropped": dropped},
            remedies=(ORDER,),
        )

    def _still(self, looks: Sequence[Snapshot]) -> Finding:
        gradients = column(looks[-1], "gradient", "sum_sq")
        norm = sum(gradients.values()) ** 0.5
        return self.finding(
            Severity.CRITICAL,
            where=owners(name for name, sum_sq in gradients.items() if sum_sq > 0),
            since=looks[0].step,
            message=f"No weight has changed at any of {len(looks)} looks, with a gradient of norm {norm:.1e} "
            f"and a learning rate of {looks[-1].scalars['lr']:.1e}.",
            cause="the optimizer's step changes nothing",
            evidence={"looks": len(looks), "gradient_norm": norm, "lr": looks[-1].scalars["lr"]},
            remedies=(Remedy("Look for what undoes the step or replaces the weights after it."), ORDER),
        )

    def _late(self, first: Snapshot, second: Snapshot) -> Finding:
        return self.finding(
            Severity.WARNING,
            where=("optimizer",),
            since=first.step,
            message=f"The optimizer's first step found no gradient although a backward pass had come before "
            f"its end; at step {second.step} it found one.",
            cause="step before backward: each step uses the gradients of the iteration before",
            evidence={"first_step": first.step},
            remedies=(ORDER,),
        )


def _reachable(window: Window) -> bool:
    """Whether the loss leads to some parameter that an optimizer holds, as far as is known."""
    looks = window.looks("wiring")
    held, reached = ever(looks, "wiring", "held"), ever(looks, "wiring", "reached")
    return not held or any(yes and reached.get(name, True) for name, yes in held.items())


def _tail(looks: Sequence[Snapshot], holds: Callable[[Snapshot], bool]) -> list[Snapshot]:
    """The latest in a row of which it holds, oldest first."""
    found: list[Snapshot] = []
    for look in reversed(looks):
        if not holds(look):
            break
        found.append(look)
    return found[::-1]
