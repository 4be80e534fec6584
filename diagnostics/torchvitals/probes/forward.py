"""Probes of the forward pass and of the gradients that come back to it: activations, their gradients, silent
units.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from torchvitals.probes.activations import SILENT_BELOW
from torchvitals.probes.base import Probe
from torchvitals.probes.measurement import Measurement, Row, stacked
from torchvitals.probes.reduce import STATISTICS, first_bad, limit, summarise, tensors
from torchvitals.probes.sites import Tracer
from torchvitals.probes.subject import is_compiled, trains


class ForwardProbe(Probe):
    """Every site's output, the gradient of the loss by it, and which units passed a gradient.

    Gradients come from tensor hooks on the outputs, which in-place operations and residual sums leave alone.
    """

    name = "forward"
    provides = frozenset({"activation", "activation_gradient", "silence"})

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

    def before_activation(self, op: str, z: Tensor, unit_dim: int) -> tuple[Tensor, float] | None:
        """Which units have a pre-activation that passes a gradient, and at how many positions each was looked
        at.
        """
        if op not in SILENT_BELOW or "silence" not in self.wanted or z.numel() == 0:
            return None
        others = [dim for dim in range(z.ndim) if dim != unit_dim]
        top = z.detach().amax(others) if others else z.detach()
        # Written so that NaN counts as fired: a unit that is not a number is ill, but not silent.
        return ~(top <= SILENT_BELOW[op]), z.numel() / z.shape[unit_dim]

    def site(self, name: str, op: str, out: Tensor, before: tuple[Tensor, float] | None) -> None:
        known = {"op": op, "count": float(out.numel()), "limit": limit(out)}
        self._sites += 1
        if "activation" in self.wanted:
            self._rows["activation"].append(Row(name=name, known=known, values=summarise(out)))
        if before is not None:
            fired, positions = before
            values = torch.tensor([positions], dtype=torch.float64)
            self._rows["silence"].append(
                Row(name=name, known={"op": op}, values=values, units={"fired": fired})
            )
        if "activation_gradient" in self.wanted and out.requires_grad and out.grad_fn is not None:
            out.register_hook(_GradientHook(self, name, known))

    def gradient(self, name: str, known: dict[str, Any], gradient: Tensor) -> None:
        if not self._armed:
            return
        try:
            with self.subject.clock:
                self._reached += 1
                known = known | {"count": float(gradient.numel()), "limit": limit(gradient)}
                self._rows["activation_gradient"].append(
                    Row(name=name, known=known, values=summarise(gradient))
                )
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
            *stacked("activation", rows["activation"], STATISTICS),
            *stacked("activation_gradient", rows["activation_gradient"], STATISTICS),
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


class _GradientHook:
    """A tensor hook that belongs to one site of one forward pass."""

    def __init__(self, probe: ForwardProbe, name: str, known: dict[str, Any]) -> None:
        self._probe, self._name, self._known = probe, name, known

    def __call__(self, gradient: Tensor) -> None:
        self._probe.gradient(self._name, self._known, gradient.detach())


class BoundaryProbe(Probe):
    """What goes into the model and what comes out of it, at every step: where bad data and bad losses show
    first.
    """

    name = "boundary"
    provides = frozenset({"input", "output"})
    always = True

    def start(self, subject, wanted) -> None:
        super().start(subject, wanted)
        self._rows: dict[str, list[Row]] = {"input": [], "output": []}
        self._index = 0
        self._batch_told = self._called = False
        self._error: Exception | None = None
        self._root: list[RemovableHandle] = []
        self._children: list[RemovableHandle] = []
        if not isinstance(subject.model, torch.jit.ScriptModule):
            self._root = [
                subject.model.register_forward_pre_hook(_InputHook(self), with_kwargs=True),
                subject.model.register_forward_hook(_OutputHook(self, "model")),
            ]

    def _watch_children(self) -> None:
        """Where the model itself is not called, as in many a `training_step`, its children are."""
        for name, child in self.subject.model.named_children():
            trains = next(child.parameters(), None) is not None
            if trains and not isinstance(child, torch.jit.ScriptModule):
                self._children.append(child.register_forward_hook(_OutputHook(self, name)))

    def begin(self, batch: Any, index: int) -> None:
        self._index = index
        if batch is not None:
            self._batch_told = True
            self._inputs("batch", batch)

    def given(self, module: nn.Module, args: Any) -> None:
        self._called = True
        if not self._batch_told and _training(module):
            self._inputs("input", args)

    def _inputs(self, stem: str, value: Any) -> None:
        for i, x in enumerate(tensors(value)):
            if x.numel():
                values = torch.cat([summarise(x), first_bad(x, self._index)])
                known = {"count": float(x.numel()), "limit": limit(x)}
                self._rows["input"].append(
                    Row(name=f"{stem}[{i}]" if i else stem, known=known, values=values)
                )

    def gave(self, module: nn.Module, name: str, out: Any) -> None:
        found = next(tensors(out), None) if _training(module) else None
        if found is not None and found.numel():
            known = {"count": float(found.numel()), "limit": limit(found)}
            self._rows["output"].append(Row(name=name, known=known, values=summarise(found)))

    def guarded(self, measure: Callable[..., None], *args: Any) -> None:
        try:
            with self.subject.clock, torch._C.DisableTorchFunction():
                measure(*args)
        except Exception as error:
            self._error = self._error or error

    def collect(self) -> Iterable[Measurement]:
        if self._error is not None:
            raise self._error
        if self._called:
            self._forget(self._children)
        elif not self._children:
            self._watch_children()
        self._called = False
        rows, self._rows = self._rows, {"input": [], "output": []}
        return [
            *stacked("input", rows["input"], (*STATISTICS, "first_bad")),
            *stacked("output", rows["output"], STATISTICS),
        ]

    def close(self) -> None:
        self._forget(self._root)
        self._forget(self._children)

    def _forget(self, handles: list[RemovableHandle]) -> None:
        for handle in handles:
            handle.remove()
        handles.clear()


def _training(module: nn.Module) -> bool:
    return module.training and trains()


class _InputHook:
    """A forward pre-hook; a copy of the model that is pickled or deep-copied gets one that does nothing."""

    def __init__(self, probe: BoundaryProbe | None = None) -> None:
        self._probe = probe

    def __call__(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if self._probe is not None and not torch.compiler.is_compiling():
            self._probe.guarded(self._probe.given, module, (args, kwargs))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()


class _OutputHook:
    """A forward hook; a copy of the model that is pickled or deep-copied gets one that does nothing."""

    def __init__(self, probe: BoundaryProbe | None = None, name: str = "") -> None:
        self._probe, self._name = probe, name

    def __call__(self, module: nn.Module, args: Any, out: Any) -> None:
        if self._probe is not None and not torch.compiler.is_compiling():
            self._probe.guarded(self._probe.gave, module, self._name, out)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()
