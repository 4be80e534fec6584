"""The places where a NaN can be born, searched in the order of evaluation."""

from collections.abc import Sequence

import numpy as np

from torchvitals.builtin.parts.origin import Origin, bad_loss, bad_names, bad_rows
from torchvitals.builtin.parts.overflow import forward_origin
from torchvitals.builtin.parts.ranks import unmerged
from torchvitals.core.finding import Remedy
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.tables import NONE_BAD, ROWS


def trace(look: Snapshot, before: Sequence[Snapshot], *, near_limit: float) -> Origin | None:
    """The first bad place of a look; None where what is bad is not of the kinds that are known here."""
    # A mask of -inf that earlier steps lived with is not where it came from.
    harmless = any(bad_rows(s, "input") and not s.nonfinite for s in before)
    return (
        (None if harmless else input_origin(look))
        or parameters_origin(look, before)
        or forward_origin(look, before, near_limit)
        or output_origin(look)
        or loss_origin(look)
        or backward_origin(look)
        or optimizer_origin(look)
    )


def input_origin(look: Snapshot) -> Origin | None:
    """The batch itself: row and batch of the first bad sample."""
    rows = bad_rows(look, "input")
    if not rows:
        return None
    table = look["input"]
    name, place = table.names[rows[0]], float(table["first_bad"][rows[0]])
    batch, row = divmod(int(place), ROWS) if place < NONE_BAD else (0, 0)
    return Origin(
        place="input",
        where=(name,),
        message=f"Row {row} of {name} in batch {batch} holds NaN or Inf "
        f"({table['nonfinite'][rows[0]]:.0f} entries).",
        cause="bad data",
        remedies=(Remedy("Clean or drop the sample; check the preprocessing for divisions by 0."),),
        evidence={"batch": batch, "row": row, "entries": int(table["nonfinite"][rows[0]])},
    )


def parameters_origin(look: Snapshot, before: Sequence[Snapshot]) -> Origin | None:
    """A weight that was bad before the forward pass began."""
    names = bad_names(look, "parameter")
    if not names:
        return None
    unseen = f", changed since step {before[-1].step}" if before else ""
    return Origin(
        place="parameters",
        where=names,
        message=f"The parameter {names[0]} held NaN or Inf before the forward pass{unseen}.",
        cause="bad parameters" if before else "weights that were never initialised, or a bad checkpoint",
        remedies=(Remedy("Initialise every parameter, and check the checkpoint that was loaded."),),
        evidence={"parameters_affected": len(names)},
    )


def output_origin(look: Snapshot) -> Origin | None:
    """The forward pass as a whole, at a step at which its sites were not looked at."""
    names = bad_names(look, "output")
    if not names:
        return None
    between = "all modules gave finite values, so it was born between them or after the last"
    unseen = "that step was not due, so the module is not known"
    guard = Remedy("Guard the divisions, logarithms and exponentials in the model's own forward.")
    again = Remedy("Run again with a schedule that looks at this step, from the last good checkpoint.")
    due = "activation" in look
    return Origin(
        place="forward",
        where=names,
        message=f"The model's output holds NaN or Inf at step {look.step}, from finite inputs; "
        f"{between if due else unseen}.",
        cause="undefined operation" if due else "overflow or undefined operation",
        remedies=(guard if due else again,),
        evidence={},
    )


def loss_origin(look: Snapshot) -> Origin | None:
    """The loss, where the model's output is finite."""
    if not bad_loss(look):
        return None
    if _largest(look, "output") > 1e-2:
        return _overflowing_loss(look)
    return Origin(
        place="loss",
        where=("loss",),
        message=f"The loss is {look.loss} although the model's output is finite.",
        cause="undefined operation in the loss: log(0), 0/0 or an overflowing exp, or a bad target",
        remedies=(Remedy("Compute the loss from logits, or add eps inside logarithms; check the targets."),),
        evidence={"loss": str(look.loss)},
    )


def backward_origin(look: Snapshot) -> Origin | None:
    """The backward pass, where the loss is finite."""
    sites, names = bad_names(look, "activation_gradient"), bad_names(look, "gradient")
    if not (sites or names):
        return None
    if overflowed_unused(look):
        return _unused(sites)
    if unmerged(look):
        return _averaged(names or sites)
    place = f"between {sites[-1]} and what follows it" if sites else f"at the latest at {names[-1]}"
    return Origin(
        place="backward",
        where=sites[::-1] or names[::-1],
        message=f"The loss is finite but its gradient is not: born in the backward pass {place}.",
        cause="an infinite derivative: sqrt at 0, a norm of zeros, or 0 times Inf behind a `where`",
        remedies=(Remedy("Add eps inside the root or norm; mask the argument and not only the result."),),
        evidence={"gradients_affected": len(names)},
    )


def _averaged(names: tuple[str, ...]) -> Origin:
    return Origin(
        place="backward or another rank",
        where=names[::-1],
        message="The first rank's loss is finite but gradients, averaged over ranks, are not: that came from "
        "another rank, or from its own backward pass.",
        cause="bad data or hardware of one rank, or an infinite derivative",
        remedies=(Remedy("Check the loss on every rank, and look at the batch of the one where it is bad."),),
        evidence={"gradients_affected": len(names)},
    )


def optimizer_origin(look: Snapshot) -> Origin | None:
    """The optimizer, where what it consumed is finite."""
    names = bad_names(look, "update")
    if not names:
        return None
    return Origin(
        place="optimizer",
        where=names,
        message=f"Gradients are finite but the update of {names[0]} is not.",
        cause="optimizer state overflowed, or its eps is 0 in this dtype",
        remedies=(Remedy("Raise eps or lower the learning rate; keep the optimizer's state in float32."),),
        evidence={"parameters_affected": len(names)},
    )


def _largest(look: Snapshot, kind: str) -> float:
    """Largest finite entry over the square root of the dtype's limit: beyond 1 its square overflows."""
    if kind not in look or not len(look[kind]):
        return 0.0
    return float((look[kind]["abs_max"] / np.sqrt(look[kind]["limit"])).max())


def _overflowing_loss(look: Snapshot) -> Origin:
    top = float(look["output"]["abs_max"].max())
    return Origin(
        place="loss",
        where=("loss",),
        message=f"The loss is {look.loss}: the output has grown to {top:.0e}, which overflows there.",
        cause="divergence: the learning rate or the initialisation is too large",
        remedies=(Remedy("Lower the learning rate tenfold, or scale the initialisation."),),
        evidence={"loss": str(look.loss), "largest_output": top},
    )


def _unused(sites: tuple[str, ...]) -> Origin:
    return Origin(
        place="backward",
        where=sites[::-1],
        message=f"A backward pass overflowed behind {sites[-1]}, but the optimizer used finite gradients.",
        cause="a loss scale that was too large for one step, which the scaler skipped and lowered",
        remedies=(Remedy("Nothing, as long as the scale settles within the first steps."),),
        evidence={"sites_affected": len(sites)},
    )


def overflowed_unused(look: Snapshot) -> bool:
    """Whether sites' gradients are bad while what the optimizer consumed is finite: a scaler has skipped a
    micro-batch.
    """
    bad = [
        kind for kind, table in look.tables.items() if "nonfinite" in table.columns and bad_rows(look, kind)
    ]
    consumed = "gradient" in look and len(look["gradient"]) > 0
    return bad == ["activation_gradient"] and consumed and not bad_loss(look)
