"""Classes that occur among the targets while nothing ever reaches their logits."""

from collections.abc import Sequence

from torchvitals.core.snapshot import Snapshot, remembered

CLASSES = ("cross_entropy", "nll_loss")
CLIPPING = ("relu",)
"""What makes logits 0 by itself: not for TV204 to tell."""


def silenced(looks: Sequence[Snapshot]) -> tuple[str, int]:
    """The last layer, and how many of its logits must be those of classes that occur and yet had a gradient
    of exactly 0, at each of these looks: the least of them. ("", 0) where that is not known or none is.

    A softmax gives every class a part of every sample, and the class of a target more, so that no logit's
    gradient is exactly 0 as long as nothing is learned. Those that are, less the classes that are not among
    the targets, are at least as many as told here.
    """
    found = [_silenced(look) for look in looks]
    if not found or len({head for head, _ in found}) > 1:
        return "", 0
    least = min(count for _, count in found)
    return (found[0][0], least) if least > 0 else ("", 0)


@remembered
def _silenced(look: Snapshot) -> tuple[str, int]:
    if any(kind not in look for kind in ("loss", "update", "activation")) or len(look["loss"]) != 1:
        return "", 0
    loss, update = look["loss"], look["update"]
    if loss["op"][0] not in CLASSES or loss["after"][0] in CLIPPING or "present" not in loss.units:
        return "", 0
    classes, present = int(loss["classes"][0]), int(loss.units["present"][0].sum())
    names = [name for name in look["activation"].names if f"{name}.bias" in update.names]
    if not names or update["count"][row := update.index(f"{names[-1]}.bias")] != classes:
        return "", 0
    idle = int(update["idle"][row])
    # Where all are 0 no gradient came here at all, as where other copies of the weights are trained.
    return (names[-1], idle - (classes - present)) if idle < classes else ("", 0)
