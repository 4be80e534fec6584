"""Modules whose parameters never get a gradient, and what is known about why."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from torchvitals.builtin.parts.wiring import calm, column, ever, moved, owner
from torchvitals.core.snapshot import Snapshot, remembered
from torchvitals.core.window import Window

COPIES = ("teacher", "target", "ema", "momentum", "average", "shadow")
"""Words for a network that follows another one and does not learn by itself."""


class Reason(StrEnum):
    """Why there is no gradient, the surest first."""

    CUT = "cut"  # it ran, but the graph of the loss does not lead to it
    ZERO = "zero"  # the graph leads to it, or nothing is known of that, and what comes is exactly 0
    UNCALLED = "uncalled"  # it did not run with gradients on


@dataclass(frozen=True)
class Module:
    """What is known of one module with parameters that can learn."""

    path: str
    counts: tuple[float, ...]
    """entries of its parameters"""
    looks: int
    """looks at which it could have learned"""
    learned: bool
    """whether a gradient that is not 0 was ever seen, or it is moved or kept by other hands"""
    reason: Reason


@remembered
def all_fed(look: Snapshot) -> bool:
    """Whether some parameter of every module that can learn has a gradient at this look."""
    fed = {owner(name) for name, sum_sq in column(look, "gradient", "sum_sq").items() if sum_sq > 0}
    return fed.issuperset(map(owner, can_learn(look)))


def modules(window: Window) -> dict[str, Module]:
    """Modules that own parameters which require a gradient and are held, in execution order.

    A module is judged as a whole: biases before a normalisation and the keys of an attention have gradients
    that are 0 by design while their neighbours learn.
    """
    looks = learnable(window)
    if not looks:
        return {}
    names: dict[str, list[str]] = {}
    for name in can_learn(looks[-1]):
        names.setdefault(owner(name), []).append(name)
    able = Counter(path for look in looks for path in set(map(owner, can_learn(look))))
    fed, other = ever(looks, "gradient", "sum_sq"), _moved_by_others(looks)
    wired = window.looks("wiring")
    executed, reached = (ever(wired, "wiring", name) for name in ("executed", "reached"))
    counts = column(looks[-1], "parameter", "count")
    # What the loss leads to and what has no gradient at all, not even 0, waits for a step of its optimizer.
    given = {name for look in looks for name in column(look, "gradient", "sum_sq")}
    waits = {name for name, yes in reached.items() if yes and name not in given}
    return {
        path: Module(
            path,
            tuple(counts[name] for name in mine),
            able[path],
            any(fed.get(name) or name in other or name in waits for name in mine),
            _reason(mine, executed, reached),
        )
        for path, mine in names.items()
    }


def learnable(window: Window) -> list[Snapshot]:
    """Looks at a step that was made and at which some parameter had a gradient."""
    return [
        look
        for look in window.looks("gradient", "parameter")
        if calm(look) and any(column(look, "gradient", "sum_sq").values())
    ]


def barren(window: Window) -> list[Snapshot]:
    """All looks of a run in which no parameter ever had a gradient; empty if one had.

    Either every gradient was exactly 0 although the loss was not; or there was none at all, no site had one
    either, and nothing moved. Where sites have one the loop is to blame, and not the graph.
    """
    looks = [look for look in window.looks("parameter") if calm(look) and look.loss]
    if not looks or looks[0].step > 0 or any(ever(looks, "gradient", "sum_sq").values()):
        return []
    learners = can_learn(looks[-1])
    zeros = all(set(learners) <= column(look, "gradient", "count").keys() for look in looks)
    arrived = any(ever(looks, "activation_gradient", "sum_sq").values())
    cut = not arrived and not moved(looks) and any(ever(looks, "wiring", "executed").values())
    given = any(column(look, "gradient", "count") for look in looks)
    return looks if learners and (zeros or (cut and not given)) else []


def related(module: Module, others: Iterable[Module]) -> bool:
    """Whether a module of the same build learns in its place: another expert, or the student of a teacher.

    Experts differ by a number in their path. So do the layers of a chain, but there all that starve because
    of a cut come first.
    """
    twins = [other for other in others if other.counts == module.counts]
    apart = [pair for other in twins if (pair := _apart(module.path, other.path)) is not None]
    if any(word in mine.lower() for mine, _ in apart for word in COPIES):
        return True
    numbers = [(int(mine), int(theirs)) for mine, theirs in apart if mine.isdigit() and theirs.isdigit()]
    expert = "expert" in module.path.lower() or any(mine > theirs for mine, theirs in numbers)
    return bool(numbers) and expert and module.reason is not Reason.CUT


def _apart(mine: str, theirs: str) -> tuple[str, str] | None:
    """The one part in which two paths differ; None where there is none or more than one."""
    ours, others = mine.split("."), theirs.split(".")
    pairs = [(a, b) for a, b in zip(ours, others, strict=False) if a != b]
    return pairs[0] if len(ours) == len(others) and len(pairs) == 1 else None


@remembered
def can_learn(look: Snapshot) -> list[str]:
    """Parameters that require a gradient and that an optimizer holds, in execution order."""
    trainable, held = (column(look, "parameter", statistic) for statistic in ("trainable", "held"))
    return [name for name, yes in trainable.items() if yes and held.get(name)]


def _moved_by_others(looks: Sequence[Snapshot]) -> set[str]:
    """Parameters that changed at a step at which they had no gradient at all: no optimizer does that."""
    found: set[str] = set()
    for look in looks:
        given = column(look, "gradient", "sum_sq")
        found |= {n for n, sum_sq in column(look, "update", "sum_sq").items() if sum_sq and n not in given}
    return found


def _reason(names: Sequence[str], executed: Mapping[str, bool], reached: Mapping[str, bool]) -> Reason:
    known = [name for name in names if name in executed and name in reached]
    if not known or any(reached[name] for name in known):
        return Reason.ZERO
    return Reason.CUT if any(executed[name] for name in known) else Reason.UNCALLED
