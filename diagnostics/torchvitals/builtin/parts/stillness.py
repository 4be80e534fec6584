"""What a step looks like that ought to have moved the weights."""

from collections.abc import Sequence

from torchvitals.builtin.parts.profile import ADAPTIVE, adaptive
from torchvitals.builtin.parts.underflow import HALF, SMALLEST
from torchvitals.builtin.parts.wiring import column
from torchvitals.core.snapshot import Snapshot, remembered

KEPT = 8.0
"""Gaps between neighbouring numbers that a step has to span at the size of the weights, so that rounding
cannot have taken all of it.
"""


@remembered
def still(look: Snapshot) -> bool:
    """Whether no weight moved although gradient and learning rate say that some should have."""
    learners = _learners(look)
    updates = {name: sum_sq for name, sum_sq in column(look, "update", "sum_sq").items() if name in learners}
    return bool(updates) and not any(updates.values()) and any(_expects(look, name) for name in updates)


@remembered
def simple(look: Snapshot) -> bool:
    """Whether each optimizer is known to make a step whenever there is a gradient: no line search may refuse
    it.
    """
    names = look.labels.get("optimizer", "").split("+")
    return all(name == "SGD" or name in ADAPTIVE for name in names)


@remembered
def emptied(look: Snapshot) -> bool:
    """Whether gradients came back to the sites but the optimizer found none of them.

    Gradients that are missing prove it if nothing moved all the same, as it does under engines that keep
    gradients elsewhere. Gradients of 0 prove it where a bias has one behind a site whose own is not 0.
    """
    if {"gradient", "update"} & {*look.labels.get("off", "").split("+")}:
        return False  # nobody looked for them
    learners, found = _learners(look), column(look, "gradient", "sum_sq")
    arrived = {site for site, sum_sq in column(look, "activation_gradient", "sum_sq").items() if sum_sq > 0}
    if not (learners and arrived) or any(found.get(name) for name in learners):
        return False
    if zeros := learners & found.keys():
        return any(name == f"{site}.bias" for name in zeros for site in arrived)
    return not any(column(look, "update", "sum_sq").values())


def late(looks: Sequence[Snapshot]) -> bool:
    """Whether the first step of the run consumed nothing of its own backward pass, and the next one did."""
    if len(looks) < 2 or looks[0].step != 0 or looks[1].step != 1:
        return False
    first, second = looks[:2]
    one_backward = first.scalars.get("iteration", 1.0) <= 1.0
    consumed = any(column(second, "gradient", "sum_sq").get(name) for name in _learners(first))
    return one_backward and emptied(first) and consumed


def _learners(look: Snapshot) -> set[str]:
    """Parameters that require a gradient and that an optimizer holds."""
    trainable = column(look, "parameter", "trainable")
    held = column(look, "parameter", "held")
    return {name for name, yes in trainable.items() if yes and held.get(name, 1.0)}


def _expects(look: Snapshot, name: str) -> bool:
    """Whether the smallest step that the optimizer may have made is one that the parameter's dtype keeps."""
    gradient, size = _rms(look, "gradient", name), _rms(look, "parameter", name)
    if gradient <= 0:
        return False
    eps = look.scalars.get("eps", 1e-8)
    part = min(1.0, gradient / eps) if adaptive(look) and eps > 0 else min(1.0, gradient)
    gap = column(look, "update", "resolution").get(name, 2.0**-23)
    floor = SMALLEST if gap == HALF else 0.0
    return look.scalars.get("lr", 0.0) * part > max(KEPT * gap * size, KEPT * floor)


def _rms(look: Snapshot, kind: str, name: str) -> float:
    count = column(look, kind, "count").get(name, 0.0)
    return (column(look, kind, "sum_sq").get(name, 0.0) / count) ** 0.5 if count else 0.0
