"""Follows a forward pass and tells of each site in execution order: module calls and functional activations
alike.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList
from torch.overrides import TorchFunctionMode, _get_current_function_mode

from torchvitals.probes.activations import ACTIVATIONS
from torchvitals.probes.clock import Clock
from torchvitals.probes.hooks import InertCopy
from torchvitals.probes.reduce import readable, tensors
from torchvitals.probes.subject import is_compiled, trains, transformed

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle

MAX_SITES = 1024
"""Sites of one forward pass that are told; an unrolled loop can call a cell any number of times."""

_PASSIVE = (nn.Identity, nn.Flatten, nn.Unflatten, nn.modules.dropout._DropoutNd, nn.modules.loss._Loss)
_UNIT_LAST = (F.linear, torch.matmul, torch.Tensor.matmul, F.embedding)
_UNIT_SECOND = (
    *(F.conv1d, F.conv2d, F.conv3d),
    *(F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d),
)


class Sink(Protocol):
    """Whoever wants to know of sites."""

    def before_activation(self, op: str, z: Tensor, unit_dim: int) -> Any:
        """An activation is about to run on pre-activation `z`, which it may overwrite."""

    def site(self, name: str, op: str, out: Tensor, before: Any) -> None:
        """A site gave `out`; `before` is what `before_activation` returned, or None."""

    def failed(self, error: Exception) -> None:
        """Measuring raised; the user's forward pass goes on."""


@dataclass
class _Frame:
    path: str
    module: nn.Module
    live: bool
    sites: int = 0


class Tracer(TorchFunctionMode):
    """Tells `sink` of the sites of every training forward pass between `attach` and `detach`.

    Modules are followed by forward hooks, functional activations by being a torch-function mode while a
    module of the model runs. Passes in eval mode or without gradients, and recomputation during the backward
    pass, are left out.
    """

    def __init__(self, sink: Sink, clock: Clock) -> None:
        super().__init__()
        self._sink = sink
        self._clock = clock
        self._stack: list[_Frame] = []
        self._calls: dict[str, int] = {}
        self._handles: list[RemovableHandle] = []
        self._enters: list[_Enter] = []
        self._compiled: set[str] = set()
        self._entered = False
        self._unit_dim: int | None = None
        self.order: dict[str, None] = {}
        """paths of modules in the order of their first call"""
        self.notes: dict[str, None] = {}
        """sentences on what could not be seen"""

    def attach(self, modules: list[tuple[str, nn.Module]]) -> None:
        # What computes a weight (weight norm, spectral norm) gives no activation.
        computing = {
            id(inner)
            for _, module in modules
            if isinstance(module, ParametrizationList)
            for inner in module.modules()
        }
        for path, module in modules:
            if (
                isinstance(module, torch.jit.ScriptModule)
                or id(module) in computing
                or path in self._compiled
            ):
                continue
            enter, leave = _Enter(self, path), _Leave(self)
            self._enters.append(enter)
            self._handles.append(module.register_forward_pre_hook(enter))
            self._handles.append(module.register_forward_hook(leave, always_call=True))

    def detach(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._compiled |= {enter.path for enter in self._enters if enter.compiling}
        if self._compiled:
            self.notes.setdefault("Part of the model ran compiled: its inside was not measured.")
        self._enters.clear()
        self._stack.clear()
        self._leave_mode()

    def enter(self, path: str, module: nn.Module) -> None:
        if self._stack:
            live = self._stack[-1].live
        else:
            live = self._begins(module)
            self._calls.clear()
            self._unit_dim = None
        self._stack.append(_Frame(path, module, live and torch.is_grad_enabled()))
        if live:
            self.order.setdefault(path)
            # Compiled code would be compiled again for a mode that it has not seen.
            self._leave_mode() if is_compiled(module) else self._enter_mode()

    def leave(self, module: nn.Module, args: tuple[Any, ...], out: Any) -> None:
        # A pre-hook of the user that raises lets a module be left that was never entered.
        if not self._stack or self._stack[-1].module is not module:
            return
        frame = self._stack.pop()
        parent = self._stack[-1] if self._stack else None
        if frame.live and frame.sites == 0 and out is not None and not isinstance(module, _PASSIVE):
            frame.sites = self._module_site(frame, args, out)
        if parent is None:
            self._leave_mode()
            return
        parent.sites += frame.sites
        if parent.live and not is_compiled(parent.module):
            self._enter_mode()

    def _begins(self, module: nn.Module) -> bool:
        if not trains():
            if transformed():
                self.notes.setdefault("Passes inside of torch.func transforms (grad, vmap) are not measured.")
            return False
        if not module.training:
            self.notes.setdefault(
                f"{type(module).__name__} ran with gradients but in eval mode: such passes are not measured."
            )
        return module.training

    def _module_site(self, frame: _Frame, args: tuple[Any, ...], out: Any) -> int:
        given = {id(x) for x in tensors(args)}
        found = next((x for x in tensors(out) if id(x) not in given and x.ndim > 0), None)
        if found is None:
            return 0
        self._tell(frame.path or "model", type(frame.module).__name__, found, None)
        return 1

    def _tell(self, name: str, op: str, out: Tensor, before: Any) -> None:
        self._calls[name] = calls = self._calls.get(name, 0) + 1
        if sum(self._calls.values()) > MAX_SITES:
            self.notes.setdefault(f"Only the first {MAX_SITES} sites of a forward pass are measured.")
            return
        with torch._C.DisableTorchFunction():
            self._sink.site(name if calls == 1 else f"{name}#{calls}", op, out, before)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        op = ACTIVATIONS.get(func)
        frame = self._stack[-1] if self._stack else None
        if op is None or frame is None or not frame.live or not torch.is_grad_enabled():
            self._unit_dim = -1 if func in _UNIT_LAST else 1 if func in _UNIT_SECOND else self._unit_dim
            return func(*args, **kwargs)
        z = args[0] if args else kwargs.get("input")
        if not (isinstance(z, Tensor) and readable(z)):
            return func(*args, **kwargs)
        before = self._guarded(self._before, op, z)
        out = func(*args, **kwargs)
        self._guarded(self._activation_site, frame, op, out, before)
        return out

    def _before(self, op: str, z: Tensor) -> Any:
        return self._sink.before_activation(op, z, self._dim(z))

    def _activation_site(self, frame: _Frame, op: str, out: Tensor, before: Any) -> None:
        own = type(frame.module).__module__.endswith("torch.nn.modules.activation") and frame.path
        own = own and not isinstance(frame.module, nn.MultiheadAttention)
        frame.sites += 1
        self._tell(frame.path if own else f"{frame.path}.{op}".lstrip("."), op, out, before)

    def _dim(self, z: Tensor) -> int:
        """Dimension of the units: what the last weighted operation left them in, else the usual one for the
        shape.
        """
        if z.ndim <= 2:
            return z.ndim - 1
        dim = self._unit_dim if self._unit_dim is not None else (-1 if z.ndim == 3 else 1)
        return dim % z.ndim

    def _guarded(self, measure: Callable[..., Any], *args: Any) -> Any:
        try:
            with self._clock:
                return measure(*args)
        except Exception as error:
            self._sink.failed(error)
            return None

    def _enter_mode(self) -> None:
        if not self._entered:
            self.__enter__()
            self._entered = True

    def _leave_mode(self) -> None:
        if self._entered and _get_current_function_mode() is self:
            self.__exit__(None, None, None)
            self._entered = False


class _Enter(InertCopy):
    """The forward pre-hook of one module."""

    def __init__(self, tracer: Tracer | None = None, path: str = "") -> None:
        self._tracer, self.path = tracer, path
        self.compiling = False
        """whether compiled code went through here: it is compiled again whenever hooks come or go"""

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if torch.compiler.is_compiling():
            self.compiling = True
        elif self._tracer is not None:
            self._tracer._guarded(self._tracer.enter, self.path, module)


class _Leave(InertCopy):
    """The forward hook of one module."""

    def __init__(self, tracer: Tracer | None = None) -> None:
        self._tracer = tracer

    def __call__(self, module: nn.Module, args: tuple[Any, ...], out: Any) -> None:
        if self._tracer is not None and not torch.compiler.is_compiling():
            self._tracer._guarded(self._tracer.leave, module, args, out)
