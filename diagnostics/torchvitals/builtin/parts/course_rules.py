"""What does not go together with a loss function, and only several looks show."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from torchvitals.builtin.parts.calls import CLASSES, Call, calls
from torchvitals.builtin.parts.classes import DENSE, parts_of, samples_of
from torchvitals.builtin.parts.middle import median
from torchvitals.builtin.parts.mismatch import Mismatch
from torchvitals.core.finding import Remedy
from torchvitals.core.snapshot import Snapshot

Found = tuple[str, Mismatch]
"""A call's name, and what is wrong with it."""
POSITIONS = 1400
"""Positions at which a unit was silent that is called so: one that fires at 1 % of them has p < 1e-6."""
FOLLOWS = 0.8
"""Correlation of log weight and log count of the classes from which weights follow the counts."""


def flipped(looks: Sequence[Snapshot]) -> Iterator[Found]:
    """The only loss function called, where the loss is the same negative multiple of it at each look."""
    pairs = [(calls(look), look.loss) for look in looks[-3:]]
    factors = [
        loss / found[0].mean for found, loss in pairs if loss and len(found) == 1 and found[0].mean > 0
    ]
    if len(factors) == 3 and factors[0] < 0 and np.ptp(factors) < 1e-3 * -factors[0]:
        name = pairs[-1][0][0].name
        yield (
            name,
            Mismatch(
                cause="sign of the loss",
                message=f"The loss is {factors[-1]:.3g} times {name}, which an optimizer so makes large.",
                remedy=Remedy("Drop the minus: optimizers make the loss small."),
            ),
        )


def silenced(looks: Sequence[Snapshot]) -> Iterator[Found]:
    """Classes among the targets whose logits a ReLU keeps at 0 for all samples: no gradient reaches them."""
    recent: list[Snapshot] = []
    positions = 0.0
    for look in reversed(looks):
        if "silence" not in look or not len(look["silence"]):
            continue
        if any(call.op not in CLASSES or call.after != "relu" for call in calls(look)):
            return
        recent.append(look)
        positions += float(look["silence"]["positions"][-1])
        if positions >= POSITIONS:
            break
    found = [call for look in recent for call in calls(look)]
    names = {call.name for call in found}
    if positions < POSITIONS or len(found) != len(recent) or len(names) > 1:
        return
    fired = [look["silence"].units["fired"][-1] for look in recent]
    present = [call.present for call in found]
    one = len({len(bits) for bits in (*fired, *present)}) == 1
    if not one:
        return
    lost = np.logical_or.reduce(present) & ~np.logical_or.reduce(fired)
    if lost.any() and all(look["silence"]["op"][-1] == "relu" for look in recent):
        yield found[0].name, _silenced_classes(np.flatnonzero(lost), len(lost))


def by_name(looks: Sequence[Snapshot]) -> dict[str, list[Call]]:
    """The calls of each loss function, oldest first."""
    found: dict[str, list[Call]] = {}
    for look in looks:
        for call in calls(look):
            found.setdefault(call.name, []).append(call)
    return found


def weighted_by_count(calls: Mapping[str, Sequence[Call]], *, least: int) -> Iterator[Found]:
    """Class weights that rise with the number of a class's targets, which make rare classes rarer still."""
    for name, seen in calls.items():
        follow = [c.weights_follow for c in seen]
        if len(follow) >= least and max(follow) > FOLLOWS and (middle := median(follow)) > FOLLOWS:
            yield (
                name,
                Mismatch(
                    cause="class weights that rise with the frequency of the class",
                    message=f"{name} weighs the frequent classes more and the rare ones less "
                    f"(correlation of log weight with log count {middle:.2f}).",
                    remedy=Remedy("Weigh classes by the inverse of their frequency."),
                    evidence={"correlation": middle},
                ),
            )


def missing(
    looks: Sequence[Snapshot], calls: Mapping[str, Sequence[Call]], *, least: int, targets: float
) -> Iterator[Found]:
    """Classes that no target ever named, of one target a sample: of a vocabulary there always are some."""
    for name, found in calls.items():
        seen = [c for c in found if c.op in CLASSES]
        if len(seen) < least or not seen[-1].present.size or seen[-1].present.all():
            continue
        if len({c.present.size for c in seen}) > 1:
            continue
        samples, classes = samples_of(looks[-1]) * parts_of(looks), seen[-1].present.size
        if samples and seen[-1].count > DENSE * samples:
            continue
        named = np.logical_or.reduce([c.present for c in seen])
        if not named.all() and sum(c.count for c in seen) >= targets * classes:
            yield name, _missing_classes(np.flatnonzero(~named), classes)


def _silenced_classes(lost: np.ndarray, classes: int) -> Mismatch:
    return Mismatch(
        cause="relu on logits",
        message=f"A relu keeps the logits of {len(lost)} of {classes} classes at 0 for all samples, so that "
        f"nothing is learned of them: {_few(lost)}.",
        remedy=Remedy("Drop the activation after the last layer."),
        evidence={"silent_classes": float(len(lost)), "classes": float(classes)},
    )


def _missing_classes(gone: np.ndarray, classes: int) -> Mismatch:
    return Mismatch(
        cause="classes that never occur",
        message=f"{len(gone)} of {classes} classes were never among the targets: {_few(gone)}.",
        remedy=Remedy("Check that labels count from 0 and that the last layer has one unit a class."),
        note=True,
        evidence={"missing": float(len(gone)), "classes": float(classes)},
    )


def _few(classes: np.ndarray) -> str:
    return ", ".join(map(str, classes[:3])) + (", ..." if len(classes) > 3 else "")
