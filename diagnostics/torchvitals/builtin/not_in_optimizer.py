"""TV305: finds what ought to learn but is in no optimizer's hands."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torchvitals.builtin.parts.holding import Holding, unregistered
from torchvitals.builtin.parts.wiring import owners
from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.window import Window

REBUILD = Remedy("Build the optimizer from model.parameters() after the last change to the model's layers.")
FOREIGN = "the optimizer was built before the layers were replaced, or for another model"


@dataclass(frozen=True, kw_only=True)
class NotInOptimizer(Diagnostic):
    """Parameters that require a gradient and take part in the loss, but that no optimizer holds.

    What it measures: which parameters require a gradient, which of them an optimizer holds, to which the
    graph of the loss leads, and which change; tensors of that graph that require a gradient and are no
    parameters of the model; and how many parameters the optimizers hold that are not the model's.

    Why it matters: what no optimizer holds keeps its first, random value for ever, and no error says so.

    When it is wrong: training a part only is common: a last layer on top of a backbone that nobody froze,
    adapters, a network whose partner is trained elsewhere. So what moves, whoever moves it, is acquitted, and
    so is what the loss does not lead to, such as a teacher. Where the first layers alone are left out, or
    more than half of all weights, it is a note. It is critical where the optimizer holds other tensors in
    their place, where it holds nothing that can learn, and where weights lie outside of the model.

    What to try: build the optimizer after the model is complete; put layers that are kept in a list into
    `nn.ModuleList`, tensors into `nn.Parameter`.

    Source: it follows from what an optimizer is; an observation, not a statistic.
    """

    code: ClassVar[str] = "TV305"
    name: ClassVar[str] = "not-in-optimizer"
    needs: ClassVar[frozenset[str]] = frozenset({"parameter", "wiring", "update", "input"})
    ranges: ClassVar = {"looks": (2, 16), "max_part": (0, 1)}

    looks: int = 3
    """looks in a row at which a parameter was left out and did not move; 2 to 16"""
    max_part: float = 0.5
    """part of all trainable entries that may be left out by mistake: leaving out more is deliberate; in
    [0, 1]
    """

    def diagnose(self, window: Window) -> Iterator[Finding]:
        holding = Holding.of(window, looks=self.looks)
        outside = unregistered(window)
        if holding is not None and holding.nothing_learns:
            yield self._nothing(holding)
        elif holding is not None and holding.reached and self._stale(holding):
            yield self._left_out(holding, Severity.CRITICAL, FOREIGN)
        elif outside:
            yield self._outside(outside)
        elif holding is not None and holding.reached:
            deliberate = holding.leading or holding.part > self.max_part
            cause = "only a part is trained, as it seems on purpose" if deliberate else "not given to it"
            yield self._left_out(holding, Severity.INFO if deliberate else Severity.WARNING, cause)

    def _stale(self, holding: Holding) -> bool:
        """Whether foreign tensors stand in for those left out; a few may belong to the loss."""
        return holding.foreign > 0 and 2 * holding.foreign >= len(holding.reached)

    def _nothing(self, holding: Holding) -> Finding:
        frozen = holding.held > 0
        told = "only frozen parameters" if frozen else "none of the model's parameters"
        return self.finding(
            Severity.CRITICAL,
            where=owners(holding.left_out) or ("optimizer",),
            since=holding.since,
            message=f"The optimizer holds {told}: nothing can learn.",
            cause="the optimizer holds frozen parameters only" if frozen else FOREIGN,
            evidence=holding.evidence,
            remedies=(REBUILD,),
        )

    def _left_out(self, holding: Holding, severity: Severity, cause: str) -> Finding:
        modules = owners(holding.reached)
        return self.finding(
            severity,
            where=modules,
            since=holding.since,
            message=f"No optimizer holds the parameters of {modules[0]}"
            + (f" and {len(modules) - 1} more modules" if len(modules) > 1 else "")
            + f": {holding.part:.0%} of all trainable weights stay as they are.",
            cause=cause,
            evidence=holding.evidence,
            remedies=(REBUILD,),
        )

    def _outside(self, found: Sequence[tuple[int, str, float]]) -> Finding:
        entries = sum(count for _, _, count in found)
        return self.finding(
            Severity.CRITICAL,
            where=tuple(name for _, name, _ in found),
            since=min(step for step, _, _ in found),
            message=f"{len(found)} tensors with {entries:.0f} entries that require a gradient take part in "
            "the loss but belong neither to the model nor to an optimizer.",
            cause="layers in a plain list or dict, or tensors that are no nn.Parameter: not registered",
            evidence={"tensors": len(found), "entries": int(entries)},
            remedies=(
                Remedy("Keep submodules in nn.ModuleList or nn.ModuleDict, tensors in nn.Parameter."),
                REBUILD,
            ),
        )
