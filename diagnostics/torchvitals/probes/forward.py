"""The probe of the forward pass and of the gradients that come back to it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import count
from typing import Any

import torch
from torch import Tensor

from torchvitals.probes.activations import BOUNDED, SILENT_BELOW
from torchvitals.probes.base import Probe
from torchvitals.probes.hooks import uncompiled
from torchvitals.probes.measurement import Measurement, Row, stacked
from torchvitals.probes.outputs import COLUMNS, ON_THE_WAY, Gradient, Output, Placed, Units, ends_of
from torchvitals.probes.reduce import SMALL, dense, limit, resolution
from torchvitals.probes.shards import is_partial, local
from torchvitals.probes.sites import Tracer
from torchvitals.probes.subject import is_compiled

MAX_WAITING = 256
"""Small tensors of which copies are kept until they are measured."""


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
        self._rows: list[Placed] = []
        self._waiting: list[Output | Gradient] = []
        self._place = count()
        self._armed = False
        self._sites = self._reached = 0

    def arm(self) -> None:
        self._armed = True
        self._tracer.attach(self.subject.modules())

    def disarm(self) -> None:
        self._armed = False
        self._tracer.detach()

    def before_activation(self, op: str, z: Tensor, unit_dim: int) -> Units | None:
        """Which units have a pre-activation that passes a gradient, and at how many positions each was looked
        at.
        """
        z = local(z.detach())
        if op not in SILENT_BELOW or "silence" not in self.wanted or z.numel() == 0 or z.ndim == 0:
            return None
        if z.layout is not torch.strided:
            return None
        others = [dim for dim in range(z.ndim) if dim != unit_dim]
        top = z.detach().amax(others) if others else z.detach()
        # Written so that NaN counts as fired: a unit that is not a number is ill, but not silent.
        return Units(~(top <= SILENT_BELOW[op]), z.numel() / z.shape[unit_dim], unit_dim % z.ndim)

    def site(self, name: str, op: str, out: Tensor, before: Units | None) -> None:
        self._sites += 1
        ends = ends_of(op, out) if op in BOUNDED and "saturation" in self.wanted else None
        whole, out = out, local(out)
        known = {"op": op, "count": float(out.numel()), "limit": limit(out)}
        x = dense(out).reshape(1, -1) if out.is_sparse else dense(out)  # stored entries are no samples
        self._keep(Output(next(self._place), name, known | {"resolution": resolution(out)}, x, ends, before))
        if "activation_gradient" in self.wanted and whole.requires_grad and whole.grad_fn is not None:
            whole.register_hook(_GradientHook(self, name, known))

    def gradient(self, name: str, known: dict[str, Any], gradient: Tensor) -> None:
        if not self._armed or is_partial(gradient):
            return
        gradient = local(gradient)
        self._reached += 1
        known = known | {"count": float(gradient.numel()), "limit": limit(gradient)}
        # A gradient that is itself differentiated, as for a penalty, is mostly none of the loss.
        kind = ON_THE_WAY if torch.is_grad_enabled() else "activation_gradient"
        self._keep(Gradient(next(self._place), name, known, dense(gradient), kind))

    def _keep(self, seen: "Output | Gradient") -> None:
        """Measure now what is large; what is small costs least beside others of its shape."""
        if seen.x.numel() > SMALL:
            self._rows += seen.rows([seen], seen.x[None], self.wanted)
            return
        self._waiting.append(replace(seen, x=seen.x.clone()))
        if len(self._waiting) == MAX_WAITING:
            self._measure()

    def _measure(self) -> None:
        groups: dict[Any, list[Any]] = {}
        for seen in self._waiting:
            groups.setdefault(seen.like, []).append(seen)
        self._waiting = []
        for group in groups.values():
            self._rows += group[0].rows(group, torch.stack([seen.x for seen in group]), self.wanted)

    def collect(self) -> Iterable[Measurement]:
        self._measure()
        rows, self._rows = sorted(self._rows, key=lambda row: row[0]), []
        self.subject.executed(self._tracer.order)
        by_kind: dict[str, list[Row]] = {kind: [] for kind in (*COLUMNS, ON_THE_WAY)}
        for _, kind, row in rows:
            by_kind[kind].append(row)
        on_the_way = by_kind.pop(ON_THE_WAY)
        by_kind["activation_gradient"] = by_kind["activation_gradient"] or on_the_way
        # Gradients arrive last site first; the table is in execution order.
        place = {row.name: i for i, row in enumerate(by_kind["activation"])}
        by_kind["activation_gradient"].sort(key=lambda row: place.get(row.name, 0))
        return [m for kind, found in by_kind.items() for m in stacked(kind, found, COLUMNS[kind])]

    def state(self) -> dict[str, Any]:
        return {"sites": self._sites, "reached": self._reached, "tracer": self._tracer.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._sites, self._reached = state.get("sites", 0), state.get("reached", 0)
        self._tracer.restore(state.get("tracer", {}))

    def blind(self) -> Iterable[str]:
        yield from self._tracer.notes
        if hidden := self._tracer.hidden:
            more = f" and {len(hidden) - 2} more" if len(hidden) > 2 else ""
            yield (
                f"Inside {', '.join(hidden[:2])}{more}: reentrant checkpointing runs it without gradients "
                "and again in the backward pass, which is not measured; with use_reentrant=False it is."
            )
        for path, module in self.subject.modules():
            if any(inner is not module for inner in module.modules()) and is_compiled(module):
                yield f"Inside {path or type(module).__name__}: compiled code runs without hooks."
        if self._sites and not self._reached and "activation_gradient" in self.wanted:
            yield "No gradient came back to any site: nothing was backpropagated through the model's outputs."
        if not self._sites:
            yield "No training forward pass of the model was seen, so no activations were measured."


class _GradientHook:
    """A tensor hook that belongs to one site of one forward pass."""

    def __init__(self, probe: ForwardProbe, name: str, known: dict[str, Any]) -> None:
        self._probe, self._name, self._known = probe, name, known

    @uncompiled
    def __call__(self, gradient: Tensor) -> None:
        self._probe.guarded(self._probe.gradient, self._name, self._known, gradient.detach())
