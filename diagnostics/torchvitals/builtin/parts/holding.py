"""Which parameters the optimizers hold, and which they leave out."""

from collections.abc import Sequence
from dataclasses import dataclass

from torchvitals.builtin.parts.wiring import calm_looks, column, ever, moved
from torchvitals.core.finding import Evidence
from torchvitals.core.snapshot import Snapshot, remembered
from torchvitals.core.window import Window


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What the optimizers hold, as it has been for some looks in a row."""

    since: int
    """first step from which the same parameters were left out"""
    held: int
    """parameters of the model that they hold, frozen ones too"""
    learning: int
    """of these, those that require a gradient"""
    foreign: int
    """parameters that they hold and that are not the model's"""
    left_out: tuple[str, ...]
    """parameters that require a gradient, that no optimizer holds and that did not move"""
    reached: tuple[str, ...]
    """of these, those to which the graph of the loss leads"""
    leading: bool
    """whether all of `left_out` come before all that can learn, in execution order"""
    part: float
    """entries left out over all that require a gradient; in [0, 1]"""
    nothing_learns: bool
    """whether no parameter that requires a gradient is held, and none of the model's moves"""

    @classmethod
    def of(cls, window: Window, *, looks: int) -> "Holding | None":
        """None where the optimizers are not known for so many looks, or all is in their hands."""
        seen = [s for s in calm_looks(window, "parameter") if "optimizer" in s.labels]
        if not seen or _complete(seen[-1]):
            return None
        tail = _alike(seen)
        if len(tail) < looks:
            return None
        trainable, held = (column(tail[-1], "parameter", name) for name in ("trainable", "held"))
        still = trainable.keys() - moved(tail)
        learning = [name for name in trainable if trainable[name] and held.get(name)]
        left_out = tuple(n for n in trainable if n in still and trainable[n] and not held.get(n))
        nothing = bool(trainable) and not learning and len(still) == len(trainable)
        if not left_out and not (nothing and any(held.values())):
            return None
        reached = ever(window.looks("wiring"), "wiring", "reached")
        return cls(
            since=tail[0].step,
            held=sum(map(bool, held.values())),
            learning=len(learning),
            foreign=int(tail[-1].scalars.get("foreign_parameters", 0)),
            left_out=left_out,
            reached=tuple(name for name in left_out if reached.get(name)),
            leading=_leading(list(trainable), set(left_out), set(learning)),
            part=_part(tail[-1], left_out, trainable),
            nothing_learns=nothing,
        )

    @property
    def evidence(self) -> Evidence:
        return {
            "parameters_left_out": len(self.left_out),
            "parameters_learning": self.learning,
            "foreign_parameters": self.foreign,
            "part_left_out": self.part,
        }


@remembered
def _complete(look: Snapshot) -> bool:
    """Whether an optimizer holds all that can learn, and something can."""
    trainable, held = _hands(look)
    return bool(trainable) and trainable <= held


def unregistered(window: Window) -> list[tuple[int, str, float]]:
    """First step, name and entries of the graph's tensors that are neither the model's nor an optimizer's.

    Only those that come back at another look, and not what has the size of an input: perturbations of an
    input are made anew at each step.
    """
    looks = window.looks("wiring")
    seen: dict[tuple[str, float], list[int]] = {}
    for look in looks:
        inputs = set(column(look, "input", "count").values())
        for name, count in _outside(look).items():
            if count not in inputs:
                seen.setdefault((name, count), []).append(look.step)
    return [(steps[0], name, count) for (name, count), steps in seen.items() if len(steps) > 1]


@remembered
def _outside(look: Snapshot) -> dict[str, float]:
    """Entries of what the graph leads to and nobody owns."""
    registered, held, reached = (
        column(look, "wiring", statistic) for statistic in ("registered", "held", "reached")
    )
    return {
        name: count
        for name, count in column(look, "wiring", "count").items()
        if not registered.get(name, 1.0) and not held.get(name, 1.0) and reached.get(name, 1.0)
    }


def _alike(looks: Sequence[Snapshot]) -> list[Snapshot]:
    """The latest looks in a row at which the same parameters were trainable and held, oldest first."""
    found: list[Snapshot] = []
    for look in reversed(looks):
        if found and _hands(look) != _hands(found[-1]):
            break
        found.append(look)
    return found[::-1]


@remembered
def _hands(look: Snapshot) -> tuple[frozenset[str], frozenset[str]]:
    trainable, held = (column(look, "parameter", name) for name in ("trainable", "held"))
    return frozenset(n for n in trainable if trainable[n]), frozenset(n for n in held if held[n])


def _leading(order: list[str], left_out: set[str], learning: set[str]) -> bool:
    """Whether those left out come first; tables hold rows in execution order."""
    last = max((i for i, name in enumerate(order) if name in left_out), default=-1)
    first = min((i for i, name in enumerate(order) if name in learning), default=-1)
    return last < first


def _part(look: Snapshot, left_out: Sequence[str], trainable: dict[str, float]) -> float:
    count = column(look, "parameter", "count")
    total = sum(count.get(name, 0.0) for name, yes in trainable.items() if yes)
    return sum(count.get(name, 0.0) for name in left_out) / total if total else 0.0
