"""Follows a forward pass and tells of each site in execution order: module calls and functional activations
alike.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

from torchvitals.probes.activations import ACTIVATIONS
from torchvitals.probes.clock import Clock
from torchvitals.probes.hooks import InertCopy
from torchvitals.probes.lossfunctions import LOSSES
from torchvitals.probes.passes import Fuse, Turn
from torchvitals.probes.reduce import readable, tensors
from torchvitals.probes.shards import plain_class
from torchvitals.probes.subject import compiled_in_place, is_compiled, records_graph, trains, transformed
from torchvitals.probes.switch import Switch, has_fast_path

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle

MAX_SITES = 1024
"""Sites of one forward pass that are told; an unrolled loop can call a cell any number of times."""

EVAL_STEPS = 2
"""Steps that were trained in eval mode, after which such passes are measured."""
IN_EVAL_MODE = "{} ran with gradients but in eval mode: such passes are not measured."

_PASSIVE = (nn.Identity, nn.Flatten, nn.Unflatten, nn.modules.dropout._DropoutNd, nn.modules.loss._Loss)
_UNIT_LAST = (F.linear, torch.matmul, torch.Tensor.matmul, F.embedding)
_UNIT_SECOND = (
    *(F.conv1d, F.conv2d, F.conv3d),
    *(F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d),
)


@dataclass
class _Frame:
    path: str
    module: nn.Module
    live: bool
    """whether its operations are measured"""
    sites: int = 0


class Follower(Switch):
    """Follows modules by forward hooks, and functions (activations, losses) by being a torch-function mode.

    For loss functions, which are mostly called by the loop, the mode stays on between a pass of the model and
    `release`, where it can. Passes without gradients, and recomputation during the backward pass, are left
    out; and so are those in eval mode, unless there are no others: where gradients came back through them in
    `EVAL_STEPS` steps before any pass in training mode was seen, they are what is trained.
    """

    def __init__(self) -> None:
        super().__init__()
        self._clock = Clock()
        self._listeners: list[Any] = []
        self._sites: list[Any] = []
        self._losses: list[Any] = []
        self._roots: list[Any] = []
        self._modules: list[Any] = []
        self._stack: list[_Frame] = []
        self._turn = Turn()
        self._fuse: Fuse | None = None
        self._calls: dict[str, int] = {}
        self._handles: dict[_Enter, tuple[RemovableHandle, ...]] = {}
        self._enters: list[_Enter] = []
        self._hooked: set[int] = set()
        self._around: set[int] = set()
        """ids of modules with such inside as were compiled in place"""
        self._compiled: set[str] = set()
        self._unit_dim: int | None = None
        self._was_on = False
        self._trained = self._came_back = False
        self._eval_steps = 0
        self.order: dict[str, None] = {}
        self.ran: set[int] = set()
        self.notes: dict[str, None] = {}
        self.hidden: dict[str, None] = {}
        """modules that first ran with gradients on when a backward pass computed them again"""

    # -- who listens

    def attach(self, listener: Any, modules: list[tuple[str, nn.Module]], clock: Clock) -> None:
        if not self._listeners:
            self._clock = clock
            self.ran.clear()
            self._hook(modules)
        self._listeners.append(listener)
        self._sort_listeners()

    def detach(self, listener: Any) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)
            self._sort_listeners()
        if not self._listeners:
            self._count_eval_step()
            self._unhook()
            self._clock = Clock()  # the subject's own would keep itself alive
        self.release()

    def close(self) -> None:
        """Nobody will listen any more."""
        if not self._listeners:
            for handles in self._handles.values():
                _remove(handles)
            self._handles.clear()

    def hooked(self) -> set[int]:
        return {id(enter.module) for enter in self._enters if not enter.compiling}

    def state(self) -> dict[str, Any]:
        """Whether passes in training mode, and steps in eval mode, were seen; and what was not."""
        return {"trained": self._trained, "eval_steps": self._eval_steps, "notes": [*self.notes]}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._trained = state.get("trained", False)
        self._eval_steps = state.get("eval_steps", 0)
        self.notes |= dict.fromkeys(state.get("notes", ()))

    def _sort_listeners(self) -> None:
        def having(method: str) -> list[Any]:
            return [listener for listener in self._listeners if hasattr(listener, method)]

        self._sites, self._losses, self._roots = having("site"), having("loss_call"), having("root_call")
        self._modules = having("module_call")

    def _hook(self, modules: list[tuple[str, nn.Module]]) -> None:
        # What computes a weight (weight norm, spectral norm) gives no activation.
        computing = {
            id(inner)
            for _, module in modules
            if isinstance(module, ParametrizationList)
            for inner in module.modules()
        }
        self._hooked.clear()
        self._around = {
            id(module) for _, module in modules if any(compiled_in_place(inner) for inner in module.modules())
        }
        for path, module in modules:
            scripted = isinstance(module, torch.jit.ScriptModule) or compiled_in_place(module)
            if scripted or id(module) in computing or path in self._compiled:
                continue
            enter, leave = _Enter(self, path, module), _Leave(self)
            self._enters.append(enter)
            self._hooked.add(id(module))
            self._handles[enter] = (
                module.register_forward_pre_hook(enter),
                module.register_forward_hook(leave, with_kwargs=True, always_call=True),
            )

    def _unhook(self) -> None:
        for enter in self._enters:
            # Compiled code counts the hooks: were they taken away it would be compiled again.
            if not enter.compiling:
                _remove(self._handles.pop(enter))
        self._compiled |= {enter.path for enter in self._enters if enter.compiling}
        if self._compiled:
            self.notes.setdefault("Part of the model ran compiled: its inside was not measured.")
        self._enters.clear()
        self._stack.clear()
        if self._turn.others:
            self.notes.setdefault("Passes in several threads at a time: only those of one were measured.")
        self._turn = Turn()

    # -- modules

    def enter(self, path: str, module: nn.Module) -> None:
        if not self._turn.enters(busy=bool(self._stack)):
            return
        if self._stack and self._stack[0].module is module and self._fuse and not self._fuse.burns:
            self._abandon()
        if self._stack:
            live = self._stack[-1].live
        else:
            self._fuse = Fuse(self._abandon)
            live = self._begins(path, module)
            self._calls.clear()
            self._unit_dim = None
            self._was_on = self.staying
        frame = _Frame(path, module, live and torch.is_grad_enabled())
        self._stack.append(frame)
        if live:
            self.order.setdefault(path)
        if frame.live:
            self.ran.add(id(module))
        self._tune(frame)

    def leave(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], out: Any) -> None:
        # A pre-hook of the user that raises lets a module be left that was never entered.
        if not self._turn.leaves() or not self._stack or self._stack[-1].module is not module:
            return
        frame = self._stack.pop()
        if frame.live and frame.sites == 0 and out is not None and not isinstance(module, _PASSIVE):
            frame.sites = self._module_site(frame, (args, kwargs), out)
        for listener in self._modules if frame.live and out is not None else ():
            self.guarded(listener, listener.module_call, frame.path, module, args, kwargs)
        if self._stack:
            self._stack[-1].sites += frame.sites
            self._tune(self._stack[-1])
            return
        if self._fuse is not None:
            self._fuse.defuse()
            self._fuse = None
        if out is None and sys.exc_info()[0] is not None:
            self.release()  # the pass has failed, and no loss will follow
            return
        self._stay_or_leave(frame)
        if not (frame.live or module.training or self._trained) and trains():
            self._await_gradient(out)
        if frame.live and out is not None:
            for listener in self._roots:
                self.guarded(listener, listener.root_call, frame.path, module, args, kwargs, out)

    def _abandon(self) -> None:
        """The pass that is followed has ended without telling."""
        self._stack.clear()
        self.release()

    def _tune(self, frame: _Frame) -> None:
        """On where the module's own operations are measured and the mode leaves it as it is."""
        plain = not is_compiled(frame.module) and not has_fast_path(frame.module)
        plain = plain and id(frame.module) not in self._around and not self._compiled_since(frame.module)
        self.on() if frame.live and plain else self.off()

    def _compiled_since(self, module: nn.Module) -> bool:
        """Whether a child is compiled and has no hook that would ask for the mode to be off."""
        return any(is_compiled(child) and id(child) not in self._hooked for child in module.children())

    def _stay_or_leave(self, root: _Frame) -> None:
        wanted = self._losses and (root.live or self._was_on) and not self._compiled
        if wanted and not is_compiled(root.module) and self.may_stay():
            self.stay()
        else:
            self.release()

    def _begins(self, path: str, module: nn.Module) -> bool:
        if not trains():
            if transformed():
                self.notes.setdefault("Passes inside of torch.func transforms (grad, vmap) are not measured.")
            elif torch.is_grad_enabled() and not records_graph() and id(module) not in self.ran:
                self.hidden.setdefault(path or type(module).__name__)
            return False
        self._trained |= module.training
        if module.training or self._trains_in_eval_mode:
            return True
        self.notes.setdefault(IN_EVAL_MODE.format(plain_class(module).__name__))
        return False

    @property
    def _trains_in_eval_mode(self) -> bool:
        return self._eval_steps >= EVAL_STEPS and not self._trained

    def _await_gradient(self, out: Any) -> None:
        found = next((x for x in tensors(out) if x.grad_fn is not None), None)
        if found is not None:
            found.register_hook(self._gradient_came_back)

    def _gradient_came_back(self, gradient: Tensor) -> None:
        self._came_back = True

    def _count_eval_step(self) -> None:
        """A step is over: were only passes in eval mode seen, and did gradients come back through them?"""
        self._eval_steps += self._came_back and not self._trained
        self._came_back = False
        if self._trains_in_eval_mode:
            kept = [note for note in self.notes if not note.endswith(IN_EVAL_MODE[2:])]
            self.notes = dict.fromkeys([*kept, "The model is trained in eval mode, and was measured in it."])

    def _module_site(self, frame: _Frame, given: Any, out: Any) -> int:
        passed = {id(x) for x in tensors(given)}
        found = next((x for x in tensors(out) if id(x) not in passed and x.ndim > 0), None)
        if found is None:
            return 0
        self._tell(
            frame.path or "model", plain_class(frame.module).__name__, found, [None] * len(self._sites)
        )
        return 1

    def _tell(self, name: str, op: str, out: Tensor, before: list[Any]) -> None:
        self._calls[name] = calls = self._calls.get(name, 0) + 1
        if sum(self._calls.values()) > MAX_SITES:
            self.notes.setdefault(f"Only the first {MAX_SITES} sites of a forward pass are measured.")
            return
        name = name if calls == 1 else f"{name}#{calls}"
        for sink, seen in zip(self._sites, before, strict=True):
            self.guarded(sink, sink.site, name, op, out, seen)

    # -- functions

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if torch.compiler.is_compiling():
            return func(*args, **kwargs)  # the compiler reads this line, and must find nothing else
        frame = self._stack[-1] if self._stack else None
        if func in LOSSES:
            return self._loss(frame, func, args, kwargs)
        op = ACTIVATIONS.get(func)
        if op is None or frame is None or not frame.live or not torch.is_grad_enabled():
            self._unit_dim = -1 if func in _UNIT_LAST else 1 if func in _UNIT_SECOND else self._unit_dim
            return func(*args, **kwargs)
        z = args[0] if args else kwargs.get("input")
        if not (isinstance(z, Tensor) and readable(z)):
            return func(*args, **kwargs)
        dim = self._dim(z)
        before = [self.guarded(sink, sink.before_activation, op, z, dim) for sink in self._sites]
        out = func(*args, **kwargs)
        self._activation_site(frame, op, out, before)
        return out

    def _loss(
        self,
        frame: _Frame | None,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Any:
        out = func(*args, **kwargs)
        if trains() and (frame is None or frame.live):
            for listener in self._losses:
                self.guarded(listener, listener.loss_call, func, args, kwargs, out)
        return out

    def _activation_site(self, frame: _Frame, op: str, out: Tensor, before: list[Any]) -> None:
        own = plain_class(frame.module).__module__.endswith("torch.nn.modules.activation") and frame.path
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

    def guarded(self, listener: Any, measure: Callable[..., Any], *args: Any) -> Any:
        """Measure beside the user's forward pass; a mistake is the listener's, or all of theirs if None."""
        try:
            with self._clock, torch._C.DisableTorchFunction():
                return measure(*args)
        except Exception as error:
            for one in self._listeners if listener is None else (listener,):
                one.failed(error)
            return None


def _remove(handles: tuple["RemovableHandle", ...]) -> None:
    for handle in handles:
        handle.remove()


class _Enter(InertCopy):
    """The forward pre-hook of one module."""

    def __init__(
        self, follower: Follower | None = None, path: str = "", module: nn.Module | None = None
    ) -> None:
        self._follower, self.path, self.module = follower, path, module
        self.compiling = False
        """whether compiled code went through here: it is compiled again whenever hooks come or go"""

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if torch.compiler.is_compiling():
            self.compiling = True
        elif self._follower is not None:
            self._follower.guarded(None, self._follower.enter, self.path, module)


class _Leave(InertCopy):
    """The forward hook of one module."""

    def __init__(self, follower: Follower | None = None) -> None:
        self._follower = follower

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], out: Any) -> None:
        if self._follower is not None and not torch.compiler.is_compiling():
            self._follower.guarded(None, self._follower.leave, module, args, kwargs, out)
