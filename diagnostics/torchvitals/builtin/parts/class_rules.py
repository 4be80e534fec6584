"""What does not go together with a loss function of one class of many."""

import math

from torchvitals.builtin.parts.calls import CLASSES, Call
from torchvitals.builtin.parts.mismatch import PROBABLE, Mismatch
from torchvitals.core.finding import Remedy


def squashed_classes(call: Call) -> Mismatch | None:
    """Cross-entropy exponentiates and normalises; what was squashed before cannot reach certainty."""
    if call.op not in CLASSES or call.classes < 2:
        return None
    if call.op == "cross_entropy" and call.after == "log_softmax":
        return Mismatch(
            cause="log_softmax before cross_entropy",
            message="cross_entropy takes the log_softmax of what is log-probabilities already.",
            remedy=Remedy("Give cross_entropy the logits, or use nll_loss."),
            note=True,
        )
    squash = call.before
    if call.op == "cross_entropy" and (call.squash in PROBABLE or call.probabilities):
        squash = call.squash or "softmax"
    if not squash:
        return None
    floor = math.log(math.e + call.classes - 1) - 1
    return Mismatch(
        cause=f"{squash} before {'the log_softmax' if call.op == 'nll_loss' else 'cross_entropy'}",
        message=f"{call.op} judges a softmax of what a {squash} made already: "
        f"the loss cannot fall below {floor:.3g}.",
        remedy=Remedy("Give cross_entropy the logits: drop the activation after the last layer."),
        evidence={"loss_floor": floor},
    )


def view_for_transpose(call: Call) -> Mismatch | None:
    """A view moves no number: a row of logits then holds those of several places."""
    if not call.swapped or call.op not in CLASSES or call.count < 2:
        return None
    return Mismatch(
        cause="a view where logits had to be transposed",
        message=f"{call.op} is given logits that a view brought to the shape of their transpose: "
        "what it takes for the classes of one place are places.",
        remedy=Remedy("Use transpose(1, 2) for view(N, C, T), or movedim(-1, 1)."),
    )


def clipped_logits(call: Call) -> Mismatch | None:
    """A ReLU or tanh on logits takes away what would rule a class out."""
    if call.op not in (*CLASSES, "binary_cross_entropy_with_logits") or call.after not in ("relu", "tanh"):
        return None
    return Mismatch(
        cause=f"{call.after} on logits",
        message=f"{call.op} is given logits that a {call.after} has clipped.",
        remedy=Remedy("Drop the activation after the last layer."),
        certain=call.op == "binary_cross_entropy_with_logits",
    )


def not_log_probabilities(call: Call) -> Mismatch | None:
    """nll_loss just picks an entry: of anything but log-probabilities it can be made as low as one likes."""
    raw = call.op == "nll_loss" and call.squash != "log_softmax" and call.high > 1e-4
    if call.op == "kl_div" and call.squash == "softmax":
        given = "probabilities"
    elif raw:
        given = "probabilities" if call.probabilities or call.squash in PROBABLE else "raw logits"
    else:
        return None
    return Mismatch(
        cause=f"{call.op} on {given}",
        message=f"{call.op} takes log-probabilities and is given {given}, as large as {call.high:.3g}.",
        remedy=Remedy("Apply log_softmax before it, or use cross_entropy on the logits."),
        evidence={"largest_prediction": call.high},
    )


def one_unit(call: Call) -> Mismatch | None:
    """A softmax over one unit is 1 whatever the unit says."""
    constant = call.squash == "softmax" and abs(call.low - 1) < 1e-6 and abs(call.high - 1) < 1e-6
    if not constant and not (call.op in CLASSES and call.classes == 1):
        return None
    return Mismatch(
        cause="softmax over one unit",
        message=f"{call.op} judges a softmax over a single unit, which is 1 whatever the net says.",
        remedy=Remedy("Use binary_cross_entropy_with_logits on the one unit, or give it one a class."),
    )


def batch_softmax(call: Call) -> Mismatch | None:
    """Over the samples instead of the classes, samples compete with one another."""
    if call.squash not in ("softmax", "log_softmax") or call.axis != 0 or call.classes < 2 or call.count < 2:
        return None
    return Mismatch(
        cause=f"{call.squash} over the batch axis",
        message=f"{call.op} is given a {call.squash} over the samples (dim 0) instead of the classes.",
        remedy=Remedy("Take it over the classes: dim=1, or dim=-1."),
    )
