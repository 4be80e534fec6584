"""The probe of the forward pass and of the gradients that come back to it."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchvitals.probes.activations import BOUNDED, SILENT_BELOW
from torchvitals.probes.base import Probe
from torchvitals.probes.measurement import Measurement, Row, stacked
from torchvitals.probes.reduce import STATISTICS, limit, resolution, summarise
from torchvitals.probes.sites import Tracer
from torchvitals.probes.subject import is_compiled
from torchvitals.probes.variation import dormant, spread


class _Units(NamedTuple):
    """What is kept of a pre-activation until its output is there."""

    fired: Tensor
    positions: float
    dim: int


class ForwardProbe(Probe):
    """Every site's output, the gradient of the loss by it, which entries are saturated, and which units are
    silent.

    Gradients come from tensor hooks on the outputs, which in-place operations and residual sums leave alone.
    """

    name = "forward"
    provides = frozenset({"activation", "activation_gradient", "saturation", "silence"})

    def start(self, subject, wanted) -> None:
        super().start(subject, wanted)
        self._tracer = Tracer(self, subject.clock)
        self._rows: dict[str, list[Row]] = {kind: [] for kind in self.provides}
        self._armed = False
        self._error: Exception | None = None
        self._sites = self._reached = 0

    def arm(self) -> None:
        self._armed = True
        self._tracer.attach(self.subject.modules())

    def disarm(self) -> None:
        self._armed = False
        self._tracer.detach()

    def before_activation(self, op: str, z: Tensor, unit_dim: int) -> _Units | None:
        """Which units have a pre-activation that passes a gradient, and at how many positions each was looked
        at.
        """
        if op not in SILENT_BELOW or "silence" not in self.wanted or z.numel() == 0 or z.ndim == 0:
            return None
        others = [dim for dim in range(z.ndim) if dim != unit_dim]
        top = z.detach().amax(others) if others else z.detach()
        # Written so that NaN counts as fired: a unit that is not a number is ill, but not silent.
        return _Units(~(top <= SILENT_BELOW[op]), z.numel() / z.shape[unit_dim], unit_dim)

    def site(self, name: str, op: str, out: Tensor, before: _Units | None) -> None:
        known = {"op": op, "count": float(out.numel()), "limit": limit(out)}
        self._sites += 1
        if "activation" in self.wanted:
            values = torch.cat([summarise(out), spread(out)])
            self._keep("activation", name, known | {"resolution": resolution(out)}, values)
        if op in BOUNDED and "saturation" in self.wanted and (ends := _ends(op, out)) is not None:
            self._keep("saturation", name, {"op": op, "count": known["count"]}, _saturated(out, *ends))
        if before is not None:
            positions = torch.tensor([before.positions], dtype=torch.float64)
            still = dormant(out, before.dim)
            self._keep("silence", name, {"op": op}, positions, fired=before.fired, dormant=still)
        if "activation_gradient" in self.wanted and out.requires_grad and out.grad_fn is not None:
            out.register_hook(_GradientHook(self, name, known))

    def _keep(self, kind: str, name: str, known: dict[str, Any], values: Tensor, **units: Tensor) -> None:
        self._rows[kind].append(Row(name=name, known=known, values=values, units=units))

    def gradient(self, name: str, known: dict[str, Any], gradient: Tensor) -> None:
        if not self._armed:
            return
        try:
            with self.subject.clock:
                self._reached += 1
                known = known | {"count": float(gradient.numel()), "limit": limit(gradient)}
                self._keep("activation_gradient", name, known, summarise(gradient))
        except Exception as error:
            self.failed(error)

    def failed(self, error: Exception) -> None:
        self._error = self._error or error

    def collect(self) -> Iterable[Measurement]:
        if self._error is not None:
            raise self._error
        rows, self._rows = self._rows, {kind: [] for kind in self.provides}
        self.subject.executed(self._tracer.order)
        # Gradients arrive last site first; the table is in execution order.
        place = {row.name: i for i, row in enumerate(rows["activation"])}
        rows["activation_gradient"].sort(key=lambda row: place.get(row.name, 0))
        return [
            *stacked("activation", rows["activation"], (*STATISTICS, "spread", "freedom")),
            *stacked("activation_gradient", rows["activation_gradient"], STATISTICS),
            *stacked("saturation", rows["saturation"], ("saturated",)),
            *stacked("silence", rows["silence"], ("positions",)),
        ]

    def blind(self) -> Iterable[str]:
        yield from self._tracer.notes
        for path, module in self.subject.modules():
            if any(inner is not module for inner in module.modules()) and is_compiled(module):
                yield f"Inside {path or type(module).__name__}: compiled code runs without hooks."
        if self._sites and not self._reached and "activation_gradient" in self.wanted:
            yield "No gradient came back to any site: nothing was backpropagated through the model's outputs."
        if not self._sites:
            yield "No training forward pass of the model was seen, so no activations were measured."


def _ends(op: str, out: Tensor) -> tuple[float, float] | None:
    """The outputs at and beyond which a bounded activation is flat.

    A `hardtanh` may have any; autograd remembers them. One that ends at 0 is a `relu6`, which is silent there
    and not saturated.
    """
    if op != "hardtanh":
        return BOUNDED[op]
    low = getattr(out.grad_fn, "_saved_min_val", 0.0)
    return (low, getattr(out.grad_fn, "_saved_max_val", 0.0)) if low < 0 else None


def _saturated(out: Tensor, low: float, high: float) -> Tensor:
    out = out.detach()
    return (torch.count_nonzero(out <= low) + torch.count_nonzero(out >= high)).double().reshape(1)


class _GradientHook:
    """A tensor hook that belongs to one site of one forward pass."""

    def __init__(self, probe: ForwardProbe, name: str, known: dict[str, Any]) -> None:
        self._probe, self._name, self._known = probe, name, known

    def __call__(self, gradient: Tensor) -> None:
        self._probe.gradient(self._name, self._known, gradient.detach())
