"""What does not go together with a loss function of yes or no."""

from torchvitals.builtin.parts.calls import CLASSES, Call
from torchvitals.builtin.parts.mismatch import PROBABLE, Mismatch
from torchvitals.core.finding import Remedy


def squashed_twice(call: Call) -> Mismatch | None:
    """A second sigmoid leaves (0.5, 0.73)."""
    with_logits = call.op == "binary_cross_entropy_with_logits"
    twice = bool(call.before) or (with_logits and call.squash in PROBABLE)
    if call.op in CLASSES or not twice:
        return None
    first = call.before or call.squash
    second = "sigmoid" if with_logits else call.squash
    return Mismatch(
        cause=f"{first} before the {second}",
        message=f"{call.op} judges a {second} of what a {first} made already, which stays in the middle.",
        remedy=Remedy("Keep one of them: give binary_cross_entropy_with_logits the logits."),
    )


def not_probabilities(call: Call) -> Mismatch | None:
    """binary_cross_entropy takes logarithms: of 0 they are not finite, of negative numbers not defined."""
    if call.op != "binary_cross_entropy" or call.after not in ("relu", "tanh"):
        return None
    return Mismatch(
        cause=f"{call.after} before binary_cross_entropy",
        message=f"binary_cross_entropy takes probabilities and is given what a {call.after} made.",
        remedy=Remedy("Use binary_cross_entropy_with_logits on the bare output of the last layer."),
    )


def exclusive_classes(call: Call) -> Mismatch | None:
    """A softmax says "one of these", a yes-or-no loss for each class says "any of these". Averaged over the
    classes, its gradient by the logits of a net that knows nothing is that of cross-entropy over C - 1.
    """
    both = call.op == "binary_cross_entropy" and call.after == "softmax" and call.classes > 2
    if not both or call.axis == 0 or not call.binary_target:
        return None
    mean = call.reduction == "mean"
    return Mismatch(
        cause="softmax before binary_cross_entropy",
        message=f"binary_cross_entropy judges each of {call.classes:.0f} classes of a softmax by itself"
        + (f", with 1/{call.classes - 1:.0f} of cross_entropy's gradient at the start." if mean else "."),
        remedy=Remedy("Use cross_entropy on the logits."),
        certain=False,
        weakens=mean,
    )


def no_answers(call: Call) -> Mismatch | None:
    """Yes is 1 and no is 0; beyond, the loss has no lower end."""
    outside = call.target_low < -1e-3 or call.target_high > 1 + 1e-3
    if call.op != "binary_cross_entropy_with_logits" or not outside:
        return None
    return Mismatch(
        cause="targets outside 0 to 1",
        message=f"{call.op} has targets from {call.target_low:.3g} to {call.target_high:.3g}; "
        "outside of 0 to 1 the loss falls for ever.",
        remedy=Remedy("Encode the labels as 0 and 1."),
        evidence={"target_low": call.target_low, "target_high": call.target_high},
    )
