"""The probe that keeps what the model was given in the latest steps, so that a step can be run again."""

from collections import deque
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from torchvitals.captures.kept import Call, Iteration, Kept, Step, stores
from torchvitals.captures.randomness import Taker
from torchvitals.captures.trees import pack
from torchvitals.probes.base import Probe
from torchvitals.probes.hooks import InertCopy, forget
from torchvitals.probes.lossfunctions import LOSSES, arguments
from torchvitals.probes.norms import NormProbe
from torchvitals.probes.reduce import tensors
from torchvitals.probes.sites import Tracer
from torchvitals.probes.subject import compiled_in_place, is_compiled, trains

MAX_ITERATIONS = 64
"""Micro-batches of a step that are kept."""
MAX_CALLS = 16
"""Calls of the model in one micro-batch that are kept."""


class KeeperProbe(Probe):
    """Keeps, of the last `steps` steps, references to what the model was given and to the gradients that
    came back to its outputs, and the states of the random generators before each of its calls.

    Nothing is copied but the weights, on the CPU, between a backward pass that gave NaN or Inf and the
    update that would spread it. No more than `room` bytes of a step are kept.
    """

    name = "recorder"
    provides = frozenset()
    always = True

    gradients: NormProbe | None = None
    """the probe that knows whether a gradient on the CPU is bad, without another look at it"""

    def __init__(self, *, steps: int, room: int) -> None:
        self.kept: deque[Step] = deque(maxlen=steps)
        self._room = room

    def start(self, subject, wanted) -> None:
        super().start(subject, wanted)
        self._taker = Taker()
        self._tracer = Tracer(self, subject.clock)
        self._now, self._iteration = Step(), Iteration(0)
        self._next_key = self._serial = 0
        self._device = subject.parameters[0][1].device.type
        self._casts = torch.amp.is_autocast_available(self._device)
        self._batch_told = self._called = self._child_called = self._bad_before = False
        self._root: list[RemovableHandle] = []
        self._children: list[RemovableHandle] = []
        # Hooks of what was compiled in place, or lies inside of what is compiled, are compiled with it.
        if not (isinstance(subject.model, torch.jit.ScriptModule) or compiled_in_place(subject.model)):
            self._root = _hooked(subject.model, self, root=True)
        for child in subject.model.children() if not is_compiled(subject.model) else ():
            if not is_compiled(child):
                self._children += _hooked(child, self, root=False)

    def arm(self) -> None:
        self._tracer.attach(self.subject.modules())

    def disarm(self) -> None:
        self._tracer.detach()

    # -- what the model is given

    def begin(self, batch: Any, index: int) -> None:
        self._close_iteration()
        self._iteration = Iteration(index)
        if batch is not None:
            self._batch_told = True
            self._iteration.batch = pack(batch, self._keep)
            self._iteration.random = self._taker.take()

    def given(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if not trains():
            return
        self._called = True
        self._mode(module)
        if not self._batch_told and len(self._iteration.calls) < MAX_CALLS:
            self._iteration.calls.append(Call(pack([args, kwargs], self._keep), self._taker.take()))

    def child_given(self, module: nn.Module) -> None:
        if trains():
            self._child_called = True
            self._mode(self.subject.model)

    def gave(self, module: nn.Module, out: Any) -> None:
        if not (trains() and self._iteration.calls):
            return
        call = self._iteration.calls[-1]
        for i, x in enumerate(x for x in tensors(out) if x.layout is torch.strided):
            call.outputs.append((x.data_ptr(), x.numel()))
            if x.grad_fn is not None:
                x.register_hook(_GradientHook(self, self._serial, call, i))

    def came_back(self, serial: int, call: Call, i: int, gradient: Tensor) -> None:
        if serial == self._serial and "tensor" in (tree := self._keep(gradient, sample=False)):
            call.gradients.setdefault(i, []).append(tree["tensor"])

    def loss_call(self, func, args, kwargs, out) -> None:
        """Kept where it was given an output of the model as it is, perhaps in another shape."""
        calls = self._iteration.calls
        given = arguments(func, args, kwargs)
        prediction = given["input"]
        if not calls or not isinstance(prediction, Tensor):
            return
        for i, place in enumerate(calls[-1].outputs):
            if place == (prediction.data_ptr(), prediction.numel()):
                rest = {name: value for name, value in given.items() if name != "input"}
                tree = pack(rest, self._keep)
                loss = {"op": LOSSES[func], "output": i, "shape": list(prediction.shape), "given": tree}
                calls[-1].losses.append(loss)
                return

    def _mode(self, module: nn.Module) -> None:
        if self._iteration.training is None:
            self._iteration.training = module.training
            if self._casts and torch.is_autocast_enabled(self._device):
                dtype = str(torch.get_autocast_dtype(self._device)).removeprefix("torch.")
                self._iteration.autocast = self._device, dtype

    def _keep(self, x: Tensor, *, sample: bool = True) -> Any:
        """A tree that stands for the tensor, which is kept where there is room."""
        if not stores(x):
            return {"lost": f"a tensor of a special kind: {type(x).__name__}, {x.layout}, on {x.device}"}
        size = x.numel() * x.element_size()
        if self._now.bytes + size > self._room:
            return {"lost": f"a tensor of {size / 2**20:.3g} MB: beyond max_mb"}
        self._now.bytes += size
        self._next_key += 1
        key = f"t{self._next_key}"
        self._now.tensors[key] = Kept.of(x, sample=sample)
        return {"tensor": key}

    # -- the end of a step

    def gradients_ready(self, *, due: bool) -> None:
        bad = self.gradients is not None and self.gradients.found_bad
        if bad and not self._bad_before:
            self._keep_weights()
        self._bad_before = bad

    def _keep_weights(self) -> None:
        model = self.subject.model
        named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        size = sum(x.numel() * x.element_size() for x in named.values())
        if any(x.device.type != "cpu" or not stores(x) for x in named.values()):
            self._now.weights_why = "they are not plain tensors on the CPU"
        elif self._now.bytes + size > self._room:
            self._now.weights_why = f"they are {size / 2**20:.3g} MB, which is beyond max_mb"
        else:
            self._now.weights = {name: x.detach().clone() for name, x in named.items()}

    def collect(self) -> Iterable[Any]:
        self._close_iteration()
        self._now.step = self.subject.step
        self.kept.append(self._now)
        self._now, self._iteration = Step(), Iteration(self._iteration.index)
        self._serial += 1
        if self._called:
            forget(self._children)
        return ()

    def _close_iteration(self) -> None:
        if self._iteration.batch is None and not self._iteration.calls:
            return
        if len(self._now.iterations) < MAX_ITERATIONS:
            self._now.iterations.append(self._iteration)
        else:
            self._now.dropped += 1

    def blind(self) -> Iterable[str]:
        if not any(step.iterations for step in self.kept):
            what = "its children were called in its place" if self._child_called else "it ran compiled or not"
            yield f"Captures hold no batch: the model itself was not seen to be called ({what})."

    def close(self) -> None:
        self.disarm()
        forget(self._root)
        forget(self._children)


def _hooked(module: nn.Module, probe: KeeperProbe, *, root: bool) -> list[RemovableHandle]:
    before = module.register_forward_pre_hook(_BeforeHook(probe, root=root), with_kwargs=True)
    return [before, module.register_forward_hook(_AfterHook(probe))] if root else [before]


class _BeforeHook(InertCopy):
    """A forward pre-hook of the model, or of a child that may be called in its place."""

    def __init__(self, probe: KeeperProbe | None = None, *, root: bool = True) -> None:
        self._probe, self._is_root = probe, root

    def __call__(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if self._probe is None or torch.compiler.is_compiling():
            return
        if self._is_root:
            self._probe.guarded(self._probe.given, module, args, kwargs)
        else:
            self._probe.guarded(self._probe.child_given, module)


class _AfterHook(InertCopy):
    """A forward hook of the model."""

    def __init__(self, probe: KeeperProbe | None = None) -> None:
        self._probe = probe

    def __call__(self, module: nn.Module, args: Any, out: Any) -> None:
        if self._probe is not None and not torch.compiler.is_compiling():
            self._probe.guarded(self._probe.gave, module, out)


class _GradientHook:
    """A tensor hook of one output of one call. It knows its step by number: the user may keep the graph."""

    def __init__(self, probe: KeeperProbe, serial: int, call: Call, i: int) -> None:
        self._probe, self._of = probe, (serial, call, i)

    def __call__(self, gradient: Tensor) -> None:
        self._probe.guarded(self._probe.came_back, *self._of, gradient)
