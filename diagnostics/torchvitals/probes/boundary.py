"""The probe of what goes into the model and what comes out of it."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from torchvitals.probes.base import Probe
from torchvitals.probes.hooks import InertCopy, forget
from torchvitals.probes.measurement import Measurement, Row, stacked
from torchvitals.probes.reduce import STATISTICS, first_bad, known_finite, limit, summarise, tensors
from torchvitals.probes.shards import local
from torchvitals.probes.subject import compiled_in_place, trains
from torchvitals.probes.variation import FEATURES, features

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle


class BoundaryProbe(Probe):
    """What goes into the model and what comes out of it, at every step: where bad data and bad losses show
    first. In due steps also how the inputs are scaled and how much their samples differ.
    """

    name = "boundary"
    provides = frozenset({"input", "output", "features"})
    always = True

    def start(self, subject, wanted) -> None:
        super().start(subject, wanted)
        self._rows: dict[str, list[Row]] = {kind: [] for kind in self.provides}
        self._index = 0
        self._armed = False
        self._batch_told = self._called = False
        self._root: list[RemovableHandle] = []
        self._children: list[RemovableHandle] = []
        self._compiled = compiled_in_place(subject.model)
        self._input_hook = _InputHook(self)
        if not isinstance(subject.model, torch.jit.ScriptModule) and not self._compiled:
            self._root = [
                subject.model.register_forward_pre_hook(self._input_hook, with_kwargs=True),
                subject.model.register_forward_hook(_OutputHook(self, "model")),
            ]

    def arm(self) -> None:
        self._armed = True

    def disarm(self) -> None:
        self._armed = False

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
        for i, x in enumerate(map(local, tensors(value))):
            if x.numel():
                self._input(f"{stem}[{i}]" if i else stem, x)

    def _input(self, name: str, x: Tensor) -> None:
        if not self._armed and known_finite(x):
            return
        known = {"count": float(x.numel())}
        values = torch.cat([summarise(x), first_bad(x, self._index)])
        self._rows["input"].append(Row(name=name, known=known | {"limit": limit(x)}, values=values))
        plain = x.is_floating_point() and x.layout is torch.strided
        if self._armed and plain and "features" in self.wanted:
            self._rows["features"].append(Row(name=name, known=known, values=features(x)))

    def gave(self, module: nn.Module, name: str, out: Any) -> None:
        found = next(map(local, tensors(out)), None) if _training(module) else None
        if found is not None and found.numel() and (self._armed or not known_finite(found)):
            known = {"count": float(found.numel()), "limit": limit(found)}
            self._rows["output"].append(Row(name=name, known=known, values=summarise(found)))

    def collect(self) -> Iterable[Measurement]:
        self._compiled |= self._input_hook.compiling
        if self._called or self._compiled:
            forget(self._children)
        elif not self._children:
            self._watch_children()
        self._called = False
        rows, self._rows = self._rows, {kind: [] for kind in self.provides}
        return [
            *stacked("input", rows["input"], (*STATISTICS, "first_bad")),
            *stacked("output", rows["output"], STATISTICS),
            *stacked("features", rows["features"], FEATURES),
        ]

    def blind(self) -> Iterable[str]:
        if self._compiled and not self._batch_told:
            yield "The model ran compiled, hooks and all: what went in and came out was not seen."

    def state(self) -> dict[str, Any]:
        return {"children": bool(self._children)}

    def restore(self, state: Mapping[str, Any]) -> None:
        if state.get("children") and not self._children:
            self._watch_children()

    def close(self) -> None:
        self.disarm()
        forget(self._root)
        forget(self._children)


def _training(module: nn.Module) -> bool:
    return module.training and trains()


class _InputHook(InertCopy):
    """A forward pre-hook of the model."""

    def __init__(self, probe: BoundaryProbe | None = None) -> None:
        self._probe = probe
        self.compiling = False
        """whether compiled code went through here"""

    def __call__(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if torch.compiler.is_compiling():
            self.compiling = True
        elif self._probe is not None:
            self._probe.guarded(self._probe.given, module, (args, kwargs))


class _OutputHook(InertCopy):
    """A forward hook of the model, or of a child that is called in its place."""

    def __init__(self, probe: BoundaryProbe | None = None, name: str = "") -> None:
        self._probe, self._name = probe, name

    def __call__(self, module: nn.Module, args: Any, out: Any) -> None:
        if self._probe is not None and not torch.compiler.is_compiling():
            self._probe.guarded(self._probe.gave, module, self._name, out)
