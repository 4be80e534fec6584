"""The probe of what happens to a gradient between the backward pass and the optimizer."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.optim import Optimizer

from torchvitals.probes.base import Probe
from torchvitals.probes.hooks import InertCopy, uncompiled
from torchvitals.probes.measurement import Measurement, Row, stacked
from torchvitals.probes.scaler import calling_scaler, inner_scale
from torchvitals.probes.shards import mesh_of
from torchvitals.probes.subject import records_graph
from torchvitals.probes.team import several_ranks
from torchvitals.probes.testimony import Testimony

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle

STATISTICS = ("unzeroed", "dropped", "incoming_sq", "sum_sq")


class WitnessProbe(Probe):
    """Watches one parameter of each optimizer: whether its `.grad` was emptied since the optimizer's last
    step, whether gradients were emptied that no step had consumed, and what became of one on its way.

    Only due steps are seen. What happened before a gap is unknown, and then nobody is accused: an optimizer
    is heard again once its own step was seen, which for the only optimizer is the one before the gap's end.
    """

    name = "witness"
    provides = frozenset({"witness"})
    always = True  # in the other steps, only to know which optimizer stepped

    def start(self, subject, wanted) -> None:
        super().start(subject, wanted)
        self._witnesses: dict[int, _Witness] = {}
        self._with_gradient: dict[int, int] = {}
        self._armed = False
        self._stepped: Optimizer | None = None
        self._stepped_last: Optimizer | None = None
        self._rows: list[Row] = []

    def arm(self) -> None:
        self._armed = True
        alone = len(self.subject.optimizers) == 1
        for optimizer in self.subject.optimizers:
            witness = self._chosen(optimizer)
            if witness is not None:
                witness.attach(self)
                if alone and self._stepped_last is optimizer and not witness.testimony.since_step:
                    witness.testimony = Testimony(since_step=True)

    def disarm(self) -> None:
        self._armed = False
        for witness in self._witnesses.values():
            witness.detach()

    def gradients_ready(self, *, due: bool) -> None:
        if due:
            for _, p, _ in self.subject.gradients():
                self._with_gradient[id(p)] = self._with_gradient.get(id(p), 0) + 1

    def stepping(self, optimizer: Optimizer) -> None:
        witness = self._witnesses.get(id(optimizer)) if self._armed else None
        if witness is not None:
            untold = self.scaler is None and calling_scaler() is not None
            scaled = untold or inner_scale(optimizer) is not None
            # Of several processes what came in is not what is consumed.
            witness.testimony.stepping(witness.parameter.grad, knows=not scaled and not several_ranks())

    def stepped(self, optimizer: Optimizer) -> None:
        self._stepped = optimizer
        witness = self._witnesses.get(id(optimizer)) if self._armed else None
        if witness is not None:
            self._keep(witness, witness.testimony.stepped(witness.parameter.grad))
            witness.testimony = Testimony(since_step=True)

    def backward(self, witness: "_Witness", gradient: Tensor) -> None:
        """A backward pass brings `gradient` to a witness, whose `.grad` is still what it was before."""
        if self._armed and not records_graph():
            self.guarded(self._hear, witness, gradient)

    def _hear(self, witness: "_Witness", gradient: Tensor) -> None:
        scale = self.scaler.scale() if self.scaler is not None else None
        witness.testimony.backward(witness.parameter.grad, gradient, scale)
        witness.heard = True

    def collect(self) -> Iterable[Measurement]:
        self._stepped_last, self._stepped = self._stepped, None
        if not self._armed:
            self._witnesses.clear()  # what comes next is not known to follow what they saw
        for witness in self._witnesses.values():
            self._keep(witness, witness.testimony.so_far())
        rows, self._rows = self._rows, []
        return stacked("witness", rows, STATISTICS)

    def state(self) -> dict[str, Any]:
        names = {id(p): name for name, p in self.subject.parameters}
        return {"with_gradient": {names[key]: n for key, n in self._with_gradient.items() if key in names}}

    def restore(self, state: Mapping[str, Any]) -> None:
        # What became of gradients before is not known any more: no testimony goes on.
        before = state.get("with_gradient", {})
        self._with_gradient = {id(p): before[name] for name, p in self.subject.parameters if name in before}

    def _keep(self, witness: "_Witness", values: Tensor | None) -> None:
        if values is not None:
            known = {"count": float(witness.parameter.numel())}
            self._rows.append(Row(name=witness.name, known=known, values=values))

    def _chosen(self, optimizer: Optimizer) -> "_Witness | None":
        """The one before if a gradient came to it, else the parameter that had one most often: of these the
        last in execution order.
        """
        before = self._witnesses.get(id(optimizer))
        if before is not None and (before.heard or not self._with_gradient):
            before.heard = False
            return before
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        fit = [(n, p) for n, p in self.subject.parameters if _fit(p) and id(p) in held]
        if not fit:
            return None
        often = [self._with_gradient.get(id(p), 0) for _, p in fit]
        name, p = fit[max(range(len(fit)), key=lambda i: (often[i], i))]
        if before is None or before.parameter is not p:
            self._witnesses[id(optimizer)] = _Witness(name, p)
        return self._witnesses[id(optimizer)]


class _Witness:
    """A parameter with a hook that runs before a gradient is added to its `.grad`."""

    def __init__(self, name: str, parameter: nn.Parameter) -> None:
        self.name, self.parameter = name, parameter
        self.testimony = Testimony()
        self.heard = False
        """whether a backward pass came here since it was chosen"""
        self._handle: RemovableHandle | None = None

    def attach(self, probe: WitnessProbe) -> None:
        self.detach()
        self._handle = self.parameter.register_hook(_GradientHook(probe, self))

    def detach(self) -> None:
        if self._handle is not None:
            self._handle.remove()
            self._handle = None


class _GradientHook(InertCopy):
    """A tensor hook of a parameter."""

    def __init__(self, probe: WitnessProbe | None = None, witness: _Witness | None = None) -> None:
        self._probe, self._witness = probe, witness

    @uncompiled
    def __call__(self, gradient: Tensor) -> None:
        if self._probe is not None and self._witness is not None:
            self._probe.backward(self._witness, gradient.detach())


def _fit(p: nn.Parameter) -> bool:
    """What is spread over processes is no witness: of its gradient a part is here, or nothing at all."""
    return p.requires_grad and p.is_leaf and mesh_of(p) is None
