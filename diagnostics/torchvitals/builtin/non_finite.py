"""TV203: finds the first NaN or Inf of a run and tells where it was born."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torchvitals.builtin.parts.origin import Origin
from torchvitals.builtin.parts.origins import overflowed_unused, trace
from torchvitals.builtin.parts.ranks import guilty
from torchvitals.core.finding import Finding, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.window import Window


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
    step that was not due the sites were not looked at: the origin then says between which ends it lies, and
    of several ranks the forward pass of the first alone was seen.

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
            origin = trace(look, before, near_limit=self.near_limit)
            if origin is not None:
                yield self._finding(origin, look, guilty(look, window.snapshots[i + 1 :]))
                return

    def _finding(self, origin: Origin, look: Snapshot, ranks: tuple[str, ...]) -> Finding:
        alone = {"ranks": ", ".join(ranks)} if ranks else {}
        return self.finding(
            Severity.INFO if _skipped(look) else Severity.CRITICAL,
            where=origin.where,
            since=look.step,
            message=f"{origin.message} It began on {alone['ranks']} alone." if alone else origin.message,
            cause=origin.cause,
            evidence={
                "origin": origin.place,
                "iteration": int(look.scalars.get("iteration", 0)),
                **alone,
                **origin.evidence,
            },
            remedies=origin.remedies,
        )


def _skipped(look: Snapshot) -> bool:
    return look.labels.get("skipped") == "scaler" or overflowed_unused(look)
