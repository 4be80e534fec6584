"""What is watched: the model's parameters and modules under readable names, and its optimizers."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._functorch import peek_interpreter_stack
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from torchvitals.core.errors import FieldError, NothingToWatch
from torchvitals.probes.clock import Clock
from torchvitals.probes.reduce import host
from torchvitals.probes.shards import local, mesh_of, same_places


class Subject:
    """A model with the optimizers that train it."""

    def __init__(
        self,
        model: nn.Module,
        optimizers: Iterable[Optimizer] = (),
        *,
        wrapper: nn.Module | None = None,
    ) -> None:
        self.model = _of_type(nn.Module, model, "model", "a torch.nn.Module")
        self.wrapper = wrapper or model
        """what trains the model on several ranks, where the framework keeps it apart"""
        self.step = 0
        """the optimizer step that is going on"""
        self.scheduled = False
        """whether it is due by the schedule, which is the same on all ranks"""
        wanted = "a torch.optim.Optimizer, several of them, or None"
        self.optimizers = tuple(_of_type(Optimizer, o, "optimizer", wanted) for o in optimizers)
        self.parameters: tuple[tuple[str, nn.Parameter], ...] = ()
        self.clock = Clock()
        self.unscaled = False
        """whether what is read now is known to be without the scale of a loss scaler"""
        self.sharded = False
        """whether parameters are spread over processes"""
        self.with_gradient: set[str] = set()
        """of a model with such parameters: those that had a gradient when it was last asked for"""
        self.unsummed: set[str] = set()
        """of these, those whose gradient is still a summand for every rank when the optimizer takes it"""
        if (lazy := next((n for n, p in model.named_parameters() if is_lazy(p)), None)) is not None:
            raise FieldError("model", lazy, "parameters that have their shapes: call the model once first")
        self._order: dict[str, int] = {}
        self._modules: list[tuple[str, nn.Module]] | None = None
        self._focus: set[int] | None = None
        self.refresh()
        if not self.parameters:
            raise NothingToWatch(
                f"{type(model).__name__} has no parameters, so there is no training to watch."
            )

    def refresh(self) -> None:
        """Look again: layers may have been added, frozen or replaced. Parameters come in execution order if
        known.
        """
        named = list(self.model.named_parameters())
        if self._order:
            last = len(self._order)
            named.sort(key=lambda item: self._order.get(item[0].rpartition(".")[0], last))
        self.parameters = tuple(named)
        self._modules = None
        self._trainable = frozenset(id(p) for _, p in named if p.requires_grad)
        self.sharded = any(mesh_of(p) is not None for _, p in named)
        self._foreign = len(self.held().difference(id(p) for _, p in named))

    def executed(self, paths: Iterable[str]) -> None:
        """Learn the execution order of modules from a traced forward pass."""
        for path in paths:
            self._order.setdefault(path, len(self._order))

    @property
    def order(self) -> tuple[str, ...]:
        """Paths of modules in execution order, as far as it is known."""
        return tuple(self._order)

    def focus(self, optimizer: Optimizer | None) -> None:
        """Let `gradients` give those of one optimizer: the others' may be stale, or still to come."""
        groups = optimizer.param_groups if optimizer is not None else ()
        self._focus = {id(p) for group in groups for p in group["params"]} or None

    def held(self) -> frozenset[int]:
        """Ids of the tensors that the optimizers hold now."""
        return frozenset(id(p) for o in self.optimizers for group in o.param_groups for p in group["params"])

    def trainable(self, p: Tensor) -> bool:
        """Whether it requires a gradient, or did when the step began: in trainings with several optimizers it
        may be frozen while another one's turn lasts.
        """
        return p.requires_grad or id(p) in self._trainable

    def gradients(self) -> list[tuple[str, nn.Parameter, Tensor]]:
        """Trainable parameters in focus that have a gradient now; of a sharded one, the part that is here."""
        found = [
            (name, p, p.grad)
            for name, p in self.parameters
            if p.grad is not None and p.requires_grad and (self._focus is None or id(p) in self._focus)
        ]
        if not self.sharded:
            return found
        self.with_gradient = {name for name, *_ in found}
        self.unsummed.update(name for name, p, gradient in found if not same_places(p, gradient))
        return [(n, p, local(gradient)) for n, p, gradient in found if n not in self.unsummed]

    def modules(self) -> list[tuple[str, nn.Module]]:
        """Modules by path, root first, without the inside of compiled modules: hooks there would break the
        graph. As they were at the last `refresh`.
        """
        if self._modules is None:
            self._modules = self._found_modules()
        return self._modules

    def _found_modules(self) -> list[tuple[str, nn.Module]]:
        found: list[tuple[str, nn.Module]] = []
        hidden: set[int] = set()
        for path, module in self.model.named_modules():
            if id(module) in hidden:
                continue
            found.append((path, module))
            if is_compiled(module):
                hidden.update(id(inner) for inner in module.modules() if inner is not module)
        return found

    def labels(self) -> dict[str, str]:
        """What the optimizers are called, such as "Adam" or "SGD+Adam"."""
        names = dict.fromkeys(type(optimizer).__name__ for optimizer in self.optimizers)
        return {"optimizer": "+".join(names)} if names else {}

    def scalars(self) -> dict[str, float]:
        """The extremes of the parameter groups' settings, where there are any, and how many tensors the
        optimizers hold that are no parameters of the model.
        """
        groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        told = {
            "lr": max(_numbers(group.get("lr") for group in groups), default=None),
            "eps": min(_numbers(group.get("eps") for group in groups), default=None),
            "weight_decay": max(_numbers(group.get("weight_decay") for group in groups), default=None),
            "momentum": max(_numbers(_momentum(group) for group in groups), default=None),
            "foreign_parameters": float(self._foreign) if groups else None,
        }
        return {name: value for name, value in told.items() if value is not None}


def _momentum(group: dict[str, Any]) -> object:
    """Of plain momentum, or the first beta of Adam and its kin."""
    betas = group.get("betas")
    return group.get("momentum", betas[0] if betas else None)


def _of_type(kind: type[Any], value: Any, field: str, choices: str) -> Any:
    if not isinstance(value, kind):
        raise FieldError(field, value, choices)
    return value


def _numbers(values: Iterable[object]) -> list[float]:
    """Settings as numbers; one kept in a tensor on a device is left alone, since reading it would wait."""
    return [
        host(value.detach()) if isinstance(value, Tensor) else float(value)
        for value in values
        if isinstance(value, (int, float)) or (isinstance(value, Tensor) and value.device.type == "cpu")
    ]


def trains() -> bool:
    """Whether a forward pass is one of training that can be read: with gradients, and no recomputation while
    they flow.
    """
    recomputes = torch._C._current_graph_task_id() != -1
    return torch.is_grad_enabled() and not recomputes and not transformed() and not records_graph()


def records_graph() -> bool:
    """Whether a CUDA graph is being recorded: whatever we did now would be done again at every replay, and
    whatever we read would break the recording.
    """
    return torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()


def transformed() -> bool:
    """Whether a `torch.func` transform is running, whose tensors hold no numbers that could be read."""
    return peek_interpreter_stack() is not None


def compiled_in_place(module: nn.Module) -> bool:
    """Whether `module.compile()` was called: hooks of the module, too, are a part of what is compiled."""
    return getattr(module, "_compiled_call_impl", None) is not None


def is_compiled(module: nn.Module) -> bool:
    """Whether calling the module runs `torch.compile`d or scripted code, which hooks cannot look into."""
    compiled = type(module).__name__ == "OptimizedModule" or compiled_in_place(module)
    return compiled or isinstance(module, torch.jit.ScriptModule)
