"""TV203: finds the first NaN or Inf of a run and tells where it was born."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.tables import NONE_BAD, ROWS
from torchvitals.core.window import Window


@dataclass(frozen=True, kw_only=True)
class _Origin:
    place: str
    where: tuple[str, ...]
    message: str
    cause: str
    remedies: tuple[Remedy, ...]
    evidence: dict[str, float | int | str]


@dataclass(frozen=True, kw_only=True)
class NonFinite(Diagnostic):
    """NaN or Inf anywhere in the training, with the place where it was born.

    What it measures: non-finite entries of inputs, outputs, gradients and the loss at every step, of
    parameters, sites and updates at due steps. Of the first step that has any, the origin is the first that
    is bad in the order input, parameters, forward (first site in execution order), loss, backward (last
    site), optimizer.

    Why it matters: one NaN in a gradient makes all weights NaN at the next step, and the run is lost from
    there.

    When it is wrong: a step that a gradient scaler skipped is INFO, since its overflows are by design. At a
    step that was not due the sites were not looked at: the origin then says between which ends it lies.

    What to try: it depends on the origin, and the finding says it.

    Source: order of evaluation; a number can only be bad where all that it was computed from was good.
    """

    code: ClassVar[str] = "TV203"
    name: ClassVar[str] = "non-finite"
    needs: ClassVar[frozenset[str]] = frozenset(
        {"input", "output", "parameter", "activation", "activation_gradient", "gradient", "update"}
    )
    ranges: ClassVar = {"near_limit": (0, 1)}

    near_limit: float = 0.01
    """part of the dtype's largest number beyond which an earlier value counts as about to overflow; in [0, 1]
    """

    def diagnose(self, window: Window) -> Iterator[Finding]:
        # Of an earlier one that the run has left behind, the incident keeps what was said when it happened.
        finite = [i for i, s in enumerate(window.snapshots) if not s.nonfinite]
        bad = range(finite[-1] + 1 if finite else 0, len(window))
        # What a scaler skipped is told only where nothing worse happened, or it would hide all that follows.
        for i in sorted(bad, key=lambda i: (_skipped(window.snapshots[i]), i)):
            look, before = window.snapshots[i], window.snapshots[:i]
            origin = next((o for find in _ORDER if (o := find(self, look, before)) is not None), None)
            if origin is not None:
                yield self._finding(origin, look)
                return

    def _finding(self, origin: _Origin, look: Snapshot) -> Finding:
        return self.finding(
            Severity.INFO if _skipped(look) else Severity.CRITICAL,
            where=origin.where,
            since=look.step,
            message=origin.message,
            cause=origin.cause,
            evidence={
                "origin": origin.place,
                "iteration": int(look.scalars.get("iteration", 0)),
                **origin.evidence,
            },
            remedies=origin.remedies,
        )

    def _input(self, look: Snapshot, _: Sequence[Snapshot]) -> _Origin | None:
        rows = _bad_rows(look, "input")
        if not rows:
            return None
        table = look["input"]
        name, place = table.names[rows[0]], float(table["first_bad"][rows[0]])
        batch, row = divmod(int(place), ROWS) if place < NONE_BAD else (0, 0)
        return _Origin(
            place="input",
            where=(name,),
            message=f"Row {row} of {name} in batch {batch} holds NaN or Inf "
            f"({table['nonfinite'][rows[0]]:.0f} entries).",
            cause="bad data",
            remedies=(Remedy("Clean or drop the sample; check the preprocessing for divisions by 0."),),
            evidence={"batch": batch, "row": row, "entries": int(table["nonfinite"][rows[0]])},
        )

    def _parameters(self, look: Snapshot, before: Sequence[Snapshot]) -> _Origin | None:
        names = _bad_names(look, "parameter")
        if not names:
            return None
        unseen = f", changed since step {before[-1].step}" if before else ""
        return _Origin(
            place="parameters",
            where=names,
            message=f"The parameter {names[0]} held NaN or Inf before the forward pass{unseen}.",
            cause="bad parameters" if before else "weights that were never initialised, or a bad checkpoint",
            remedies=(Remedy("Initialise every parameter, and check the checkpoint that was loaded."),),
            evidence={"parameters_affected": len(names)},
        )

    def _forward(self, look: Snapshot, before: Sequence[Snapshot]) -> _Origin | None:
        names = _bad_names(look, "activation")
        if not names:
            return None
        near = self._nearness(names[0], look, before)
        # A weighted sum of finite numbers is always defined: it can only overflow.
        op = str(look["activation"]["op"][look["activation"].index(names[0])])
        overflow = near > self.near_limit or op.startswith(("Linear", "Conv"))
        if overflow and near <= self.near_limit and (bound := _bound(names[0], look)) < self.near_limit:
            return _between(names, look, bound)
        if overflow and (thrown := _thrown(before)) is not None:
            return _diverged(names, thrown)
        fix = "Keep the values small: normalise, scale by 1/sqrt(d), or compute in a wider dtype."
        operation = "Guard divisions, logarithms and exponentials in this module."
        return _Origin(
            place="forward",
            where=names,
            message=f"{names[0]} is the first module to give NaN or Inf, from finite inputs"
            + (": its values outgrew the dtype." if overflow else "."),
            cause="overflow" if overflow else "undefined operation",
            remedies=(Remedy(fix if overflow else operation),),
            evidence={"nearness_to_limit": near, "sites_affected": len(names)},
        )

    def _nearness(self, name: str, look: Snapshot, before: Sequence[Snapshot]) -> float:
        """Largest finite value at the site and the one before it, now and when last seen, over the dtype's
        limit.
        """
        place = look["activation"].index(name)
        names = look["activation"].names[max(place - 1, 0) : place + 1]
        tables = [s["activation"] for s in (*before[-1:], look) if "activation" in s]
        found = [t["abs_max"][i] / t["limit"][i] for t in tables for i, n in enumerate(t.names) if n in names]
        return float(max(found, default=0.0))

    def _output(self, look: Snapshot, _: Sequence[Snapshot]) -> _Origin | None:
        names = _bad_names(look, "output")
        if not names:
            return None
        between = "all modules gave finite values, so it was born between them or after the last"
        unseen = "that step was not due, so the module is not known"
        guard = Remedy("Guard the divisions, logarithms and exponentials in the model's own forward.")
        again = Remedy("Run again with a schedule that looks at this step, from the last good checkpoint.")
        due = "activation" in look
        return _Origin(
            place="forward",
            where=names,
            message=f"The model's output holds NaN or Inf at step {look.step}, from finite inputs; "
            f"{between if due else unseen}.",
            cause="undefined operation" if due else "overflow or undefined operation",
            remedies=(guard if due else again,),
            evidence={},
        )

    def _loss(self, look: Snapshot, _: Sequence[Snapshot]) -> _Origin | None:
        if not _bad_loss(look):
            return None
        if _largest(look, "output") > 1e-2:
            return _overflowing_loss(look)
        return _Origin(
            place="loss",
            where=("loss",),
            message=f"The loss is {look.loss} although the model's output is finite.",
            cause="undefined operation in the loss: log(0), 0/0 or an overflowing exp, or a bad target",
            remedies=(
                Remedy("Compute the loss from logits, or add eps inside logarithms; check the targets."),
            ),
            evidence={"loss": str(look.loss)},
        )

    def _backward(self, look: Snapshot, _: Sequence[Snapshot]) -> _Origin | None:
        sites, names = _bad_names(look, "activation_gradient"), _bad_names(look, "gradient")
        if not (sites or names):
            return None
        if _overflowed_unused(look):
            return _unused(sites)
        place = f"between {sites[-1]} and what follows it" if sites else f"at the latest at {names[-1]}"
        return _Origin(
            place="backward",
            where=sites[::-1] or names[::-1],
            message=f"The loss is finite but its gradient is not: born in the backward pass {place}.",
            cause="an infinite derivative: sqrt at 0, a norm of zeros, or 0 times Inf behind a `where`",
            remedies=(Remedy("Add eps inside the root or norm; mask the argument and not only the result."),),
            evidence={"gradients_affected": len(names)},
        )

    def _optimizer(self, look: Snapshot, _: Sequence[Snapshot]) -> _Origin | None:
        names = _bad_names(look, "update")
        if not names:
            return None
        return _Origin(
            place="optimizer",
            where=names,
            message=f"Gradients are finite but the update of {names[0]} is not.",
            cause="optimizer state overflowed, or its eps is 0 in this dtype",
            remedies=(
                Remedy("Raise eps or lower the learning rate; keep the optimizer's state in float32."),
            ),
            evidence={"parameters_affected": len(names)},
        )


def _thrown(before: Sequence[Snapshot]) -> float | None:
    """Largest update over its parameter in the latest look before, if the weights were thrown away."""
    looks = [s for s in before if "update" in s and "parameter" in s]
    if not looks:
        return None
    update, parameter = looks[-1]["update"], looks[-1]["parameter"]
    norms = dict(zip(parameter.names, parameter.norm, strict=True))
    ratios = [u / w for n, u in zip(update.names, update.norm, strict=True) if (w := norms.get(n, 0.0)) > 0]
    return max(ratios) if ratios and max(ratios) > 1 else None


def _diverged(names: tuple[str, ...], ratio: float) -> _Origin:
    return _Origin(
        place="forward",
        where=names,
        message=f"{names[0]} overflowed after updates as large as {ratio:.0e} times the weights.",
        cause="divergence: learning rate too large",
        remedies=(
            Remedy("Lower the learning rate tenfold, or warm it up.", ("scheduler=warmup_cosine",)),
            Remedy("Clip the gradient norm.", ("trainer.gradient_clip_val=1.0",)),
        ),
        evidence={"update_over_weights": ratio, "sites_affected": len(names)},
    )


def _largest(look: Snapshot, kind: str) -> float:
    """Largest finite entry over the square root of the dtype's limit: beyond 1 its square overflows."""
    if kind not in look or not len(look[kind]):
        return 0.0
    return float((look[kind]["abs_max"] / np.sqrt(look[kind]["limit"])).max())


def _overflowing_loss(look: Snapshot) -> _Origin:
    top = float(look["output"]["abs_max"].max())
    return _Origin(
        place="loss",
        where=("loss",),
        message=f"The loss is {look.loss}: the output has grown to {top:.0e}, which overflows there.",
        cause="divergence: the learning rate or the initialisation is too large",
        remedies=(Remedy("Lower the learning rate tenfold, or scale the initialisation."),),
        evidence={"loss": str(look.loss), "largest_output": top},
    )


def _bound(name: str, look: Snapshot) -> float:
    """Largest output that a weighted sum of what is known to go into it can have, over the dtype's limit: by
    Cauchy-Schwarz, |Wx| <= |W| |x|. Inf where the weights or what stands before them are not known.
    """
    table, weights = look["activation"], f"{name}.weight"
    place = table.index(name)
    given = table if place else look.tables.get("input")
    if given is None or not len(given) or "parameter" not in look or weights not in look["parameter"].names:
        return math.inf
    x = given.norm[place - 1] if place else given.norm.max()
    w = look["parameter"].norm[look["parameter"].index(weights)]
    return float((w * x + w) / table["limit"][place])


def _between(names: tuple[str, ...], look: Snapshot, bound: float) -> _Origin:
    place = look["activation"].index(names[0])
    before = look["activation"].names[place - 1] if place else "the input"
    return _Origin(
        place="forward",
        where=names,
        message=f"{names[0]} is the first module to give NaN or Inf, but its weights and {before} are too "
        "small for an overflow: it was born in an operation or buffer between them.",
        cause="undefined operation",
        remedies=(Remedy("Guard the divisions, logarithms and exponentials between the two modules."),),
        evidence={"nearness_to_limit": bound, "sites_affected": len(names)},
    )


def _unused(sites: tuple[str, ...]) -> _Origin:
    return _Origin(
        place="backward",
        where=sites[::-1],
        message=f"A backward pass overflowed behind {sites[-1]}, but the optimizer used finite gradients.",
        cause="a loss scale that was too large for one step, which the scaler skipped and lowered",
        remedies=(Remedy("Nothing, as long as the scale settles within the first steps."),),
        evidence={"sites_affected": len(sites)},
    )


_ORDER: tuple[Callable[..., _Origin | None], ...] = (
    NonFinite._input,
    NonFinite._parameters,
    NonFinite._forward,
    NonFinite._output,
    NonFinite._loss,
    NonFinite._backward,
    NonFinite._optimizer,
)


def _skipped(look: Snapshot) -> bool:
    return look.labels.get("skipped") == "scaler" or _overflowed_unused(look)


def _overflowed_unused(look: Snapshot) -> bool:
    """Whether sites' gradients are bad while what the optimizer consumed is finite: a scaler has skipped a
    micro-batch.
    """
    bad = [
        kind for kind, table in look.tables.items() if "nonfinite" in table.columns and _bad_rows(look, kind)
    ]
    consumed = "gradient" in look and len(look["gradient"]) > 0
    return bad == ["activation_gradient"] and consumed and not _bad_loss(look)


def _bad_rows(look: Snapshot, kind: str) -> list[int]:
    return [int(i) for i in np.flatnonzero(look[kind]["nonfinite"])] if kind in look else []


def _bad_names(look: Snapshot, kind: str) -> tuple[str, ...]:
    return tuple(look[kind].names[i] for i in _bad_rows(look, kind))


def _bad_loss(look: Snapshot) -> bool:
    return look.loss is not None and not np.isfinite(look.loss)
