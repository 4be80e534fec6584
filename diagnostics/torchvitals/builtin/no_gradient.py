"""TV204: finds layers that take part in the training but never get a gradient."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torchvitals.builtin.parts.experts import unasked
from torchvitals.builtin.parts.silenced import silenced
from torchvitals.builtin.parts.starved import Module, Reason, all_fed, barren, learnable, modules, related
from torchvitals.builtin.parts.wiring import column, ever, owner, owners
from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.window import Window

CAUSES = {
    Reason.CUT: "the graph is cut: detach, .data, a new tensor made of values, or an output that is not used",
    Reason.ZERO: "the gradient that reaches it is exactly 0",
    Reason.UNCALLED: "never called, or called under no_grad",
}
BALANCE = Remedy("Add a loss that balances the experts, or noise to the router; start it without favourites.")
REMEDIES = {
    Reason.CUT: Remedy("Remove what cuts the graph behind it (detach, .data, .item, torch.tensor(...))."),
    Reason.ZERO: Remedy("Look for what multiplies by 0 behind it: silent units, a mask, a weight of 0."),
    Reason.UNCALLED: Remedy("Call it with gradients on; or freeze it, or remove it, if that is meant."),
}


@dataclass(frozen=True, kw_only=True)
class NoGradient(Diagnostic):
    """Modules that require a gradient, are held by an optimizer, and get none.

    What it measures: for every module, whether one of its parameters ever had a gradient that is not exactly
    0 when the optimizer stepped; in the first steps also whether the module ran and whether the graph of the
    loss leads to it. A whole net without a gradient is judged if the loss is not 0 from the start on.
    And of the last layer before a cross_entropy, whether more of its biases have a gradient of exactly 0 than
    there are classes without a target, at each of the first `looks` steps.

    Why it matters: these layers keep their first, random values for ever; what is built on top of them learns
    to live with that, so that the loss falls and nothing tells.

    When it is wrong: a gradient at any look acquits a module: heads that take turns, branches that start at
    0, tokens that are rare. So does a change that no optimizer made, as in a teacher. Frozen modules and
    those that nobody holds are not judged. Experts that no sample chose are a note while others of their kind
    learn, and so are teachers and target networks; unless for `idle_looks` looks the same quarter of four
    experts or more, known by that word in their path, gets 95 % of all rows: then the router has collapsed. A
    loss that gets its weight later than `idle_looks` leaves its own layers without a gradient until then.

    What to try: look at what stands between the named module and the loss.

    Source: the graph tells it, which is an observation and not a statistic; 8 looks, since heads may take
    turns.
    """

    code: ClassVar[str] = "TV204"
    name: ClassVar[str] = "no-gradient"
    needs: ClassVar[frozenset[str]] = frozenset(
        {
            *("wiring", "gradient", "parameter", "update", "witness", "loss"),
            *("silence", "activation", "activation_gradient"),
        }
    )
    ranges: ClassVar = {"looks": (1, 64), "idle_looks": (1, 64)}

    looks: int = 8
    """looks without a gradient of a module that ran and that the graph of the loss does not lead to; 1 to
    64
    """
    idle_looks: int = 24
    """the same for one that the graph leads to, or that was never called; 1 to 64; all of the first 16 steps
    are looked at
    """

    def diagnose(self, window: Window) -> Iterator[Finding]:
        looks = window.looks("parameter")
        if len(looks) >= self.idle_looks and (idle := unasked(looks[-self.idle_looks :])):
            yield self._unasked(idle, looks[-self.idle_looks :])
            return
        head, logits = silenced(window.snapshots[: self.looks])
        if logits and window.snapshots[0].step == 0 and len(window.snapshots) >= self.looks:
            yield self._silenced(head, logits)
            return
        if not looks or all_fed(looks[-1]):
            return
        if nothing := barren(window):
            yield from self._nothing(nothing)
            return
        known = modules(window)
        learning = [m for m in known.values() if m.learned]
        starved = [m for m in known.values() if not m.learned]
        if not (learning and starved):
            return
        early = _cut_before_the_rest(window)
        ripe = [m for m in starved if m.looks >= self._needed(m) or m.path in early]
        ill = [m for m in ripe if not related(m, learning)]
        if ill or ripe:
            severity = Severity.WARNING if ill else Severity.INFO
            yield self._finding(severity, ill or ripe, len(known), learnable(window))

    def _nothing(self, looks: Sequence[Snapshot]) -> Iterator[Finding]:
        if len(looks) < self.looks:
            return
        cut = not any(column(looks[-1], "gradient", "count"))
        names = [name for name, yes in column(looks[-1], "parameter", "trainable").items() if yes]
        yield self.finding(
            Severity.CRITICAL,
            where=owners(names[::-1]),
            since=looks[0].step,
            message=f"No parameter had a gradient at any of {len(looks)} looks"
            + ("." if cut else ": all of them are exactly 0, although the loss is not."),
            cause="the loss is cut off from the model: detach, .item, a new tensor made of values"
            if cut
            else "the loss is the same whatever the parameters are",
            evidence={"looks": len(looks)},
            remedies=(REMEDIES[Reason.CUT if cut else Reason.ZERO],),
        )

    def _silenced(self, head: str, logits: int) -> Finding:
        return self.finding(
            Severity.WARNING,
            where=(head,),
            since=0,
            message=f"At least {logits} logits of {head} had a gradient of exactly 0 at each of the first "
            f"{self.looks} steps although their classes were among the targets.",
            cause="a mask or product behind the last layer silences classes that occur",
            evidence={"logits_affected": logits, "looks": self.looks},
            remedies=(REMEDIES[Reason.ZERO],),
        )

    def _unasked(self, idle: Sequence[str], looks: Sequence[Snapshot]) -> Finding:
        return self.finding(
            Severity.WARNING,
            where=tuple(idle),
            since=looks[0].step,
            message=f"{len(idle)} experts, such as {idle[0]}, got next to no rows in "
            f"{len(looks)} looks: the same few get all.",
            cause="the router sends all rows to the same experts",
            evidence={"experts_affected": len(idle), "looks": len(looks)},
            remedies=(BALANCE,),
        )

    def _needed(self, module: Module) -> int:
        return self.looks if module.reason is Reason.CUT else self.idle_looks

    def _finding(
        self, severity: Severity, ill: Sequence[Module], judged: int, looks: Sequence[Snapshot]
    ) -> Finding:
        reasons = [reason for reason in Reason if any(m.reason is reason for m in ill)]
        # The last one in execution order is next to the cut.
        order = [m for reason in reasons for m in reversed(ill) if m.reason is reason]
        worst = order[0]
        quiet = _silent_sites(looks[-1])
        return self.finding(
            severity,
            where=tuple(m.path for m in order),
            since=looks[-worst.looks].step,
            message=f"{worst.path} had no gradient at any of {worst.looks} looks, like {len(ill)} of "
            f"{judged} modules that could learn.",
            cause=CAUSES[worst.reason],
            evidence={
                "modules_affected": len(ill),
                "modules": judged,
                "looks": worst.looks,
                "reason": worst.reason.value,
                **({"silent_site": quiet[0]} if quiet else {}),
            },
            remedies=tuple(REMEDIES[reason] for reason in reasons),
        )


def _cut_before_the_rest(window: Window) -> frozenset[str]:
    """Modules that ran and that the loss does not lead to, where they are all that ran before those that it
    does lead to: a chain that is cut in the middle, as two looks show.

    Not where there are several optimizers, of whose networks each may be detached in turn.
    """
    looks = window.looks("wiring")
    several = any(len(look["witness"]) > 1 for look in window.looks("witness"))
    if len(looks) < 2 or several:
        return frozenset()
    executed, reached = (ever(looks, "wiring", name) for name in ("executed", "reached"))
    ran = [name for name in looks[-1]["wiring"].names if executed.get(name)]
    first = next((i for i, name in enumerate(ran) if reached.get(name)), 0)
    before, after = set(map(owner, ran[:first])), ran[first:]
    alive = {owner(name) for name in after if reached.get(name)}
    return frozenset(before - alive)


def _silent_sites(look: Snapshot) -> list[str]:
    """Activations of which no unit passed a gradient."""
    if "silence" not in look or "fired" not in look["silence"].units:
        return []
    table = look["silence"]
    return [n for n, bits in zip(table.names, table.units["fired"], strict=True) if not bits.any()]
