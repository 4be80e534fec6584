"""What does not go together with a loss function that compares numbers."""

import math

from torchvitals.builtin.parts.calls import BY_HAND, DISTANCES, Call
from torchvitals.builtin.parts.mismatch import Mismatch
from torchvitals.core.finding import Remedy

RANGES = {
    "sigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "sigmoid+sigmoid": (0.5, 0.74),
    "tanh": (-1.0, 1.0),
    "relu": (0.0, math.inf),
    "softplus": (0.0, math.inf),
    "exp": (0.0, math.inf),
}
"""What the outputs of bounded functions can be."""
MARGIN = 0.25
"""How far targets reach beyond the range, as part of it (of their own RMS where it has no end)."""


def labels_as_numbers(call: Call) -> Mismatch | None:
    """A distance to one-hot labels has almost no gradient where the net is sure and wrong, and one that is
    averaged over C classes of a softmax about 2/C^2 of cross-entropy's where it knows nothing.
    """
    if call.op not in DISTANCES or call.after not in ("softmax", "sigmoid") or not call.binary_target:
        return None
    return Mismatch(
        cause=f"{call.op} on classes",
        message=f"{call.op} compares a {call.after} with labels of 0 and 1; "
        "where the net is sure and wrong its gradient vanishes.",
        remedy=Remedy("Use cross_entropy (or binary_cross_entropy_with_logits) on the logits."),
        certain=False,
        weakens=call.after == "softmax" and call.reduction == "mean",
    )


def class_numbers(call: Call) -> Mismatch | None:
    """Whole targets may be numbers of classes, whose distances mean nothing."""
    whole = all(float(x).is_integer() for x in (call.target_low, call.target_sum, call.target_sq))
    span = call.target_high - call.target_low
    if call.op not in DISTANCES or not whole or not 2 <= span <= 1000 or call.target_low not in (0, 1):
        return None
    return Mismatch(
        cause="targets look like class numbers",
        message=f"{call.op} has whole targets from {call.target_low:.0f} to {call.target_high:.0f}.",
        remedy=Remedy("If they are classes, use cross_entropy with one output a class."),
        note=True,
    )


def out_of_range(call: Call) -> Mismatch | None:
    """Targets that the output cannot reach."""
    if call.op not in DISTANCES or call.after not in RANGES:
        return None
    low, high = RANGES[call.after]
    slack = MARGIN * (high - low if math.isfinite(high) else call.target_rms)
    if call.target_low >= low - slack and call.target_high <= high + slack:
        return None
    return Mismatch(
        cause=f"targets outside the range of {call.after}",
        message=f"Targets reach from {call.target_low:.3g} to {call.target_high:.3g}, "
        f"the {call.after} that should meet them only from {low:g} to {high:g}.",
        remedy=Remedy("Leave the last layer linear, or scale the targets into the range."),
        evidence={"target_low": call.target_low, "target_high": call.target_high},
    )


def broadcast(call: Call) -> Mismatch | None:
    """(N, 1) against (N,) compares every prediction with every target."""
    told = call.op in DISTANCES and not call.constant_target
    if not call.broadcast or call.count < 2 or not (told or call.op == BY_HAND):
        return None
    name = "A loss written by hand" if call.op == BY_HAND else call.op
    return Mismatch(
        cause="shapes of prediction and target differ",
        message=f"{name} broadcasts prediction and target, so that entries meet targets of other samples.",
        remedy=Remedy("Give both one shape: prediction.squeeze(-1), or target.unsqueeze(-1)."),
    )


def summed(call: Call) -> Mismatch | None:
    """A sum makes the step grow with the batch."""
    if call.reduction != "sum" or call.count < 2:
        return None
    return Mismatch(
        cause="sum instead of mean",
        message=f"{call.op} sums over its targets, so that gradients grow with the batch.",
        remedy=Remedy("Use reduction='mean', or divide the learning rate by the size of the batch."),
        note=True,
    )
