"""The probe of how parameters, modules, optimizers and the loss hang together."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

from torchvitals.probes.base import Probe
from torchvitals.probes.graph import Node, Opaque, leaves
from torchvitals.probes.measurement import Measurement
from torchvitals.probes.reduce import tensors
from torchvitals.probes.sites import Tracer

LOOKS = 2
"""Due steps that are measured, the first ones: wiring is a matter of the code, not of the training."""
MAX_CALLS = 64
"""Calls of the model in one step whose graphs are remembered."""
_HOLDERS = (ParametrizationList, nn.ParameterList, nn.ParameterDict)


class WiringProbe(Probe):
    """For every trainable parameter whether an optimizer holds it, its module ran, and the loss leads to it.

    Further rows, "unregistered[0]", ...: tensors that the model used and that require a gradient, but are
    none of its parameters: layers in a plain list, a tensor that is no `nn.Parameter`. Tensors that the
    inputs were made of, buffers, and what an optimizer holds are none; nor is a tensor that is no
    `nn.Parameter` but has the shape of one, since such are copies that were made to be changed and lost.
    """

    name = "wiring"
    provides = frozenset({"wiring"})

    def start(self, subject, wanted) -> None:
        super().start(subject, wanted)
        self._tracer = Tracer(self, subject.clock)
        self._left = LOOKS
        self._forget()
        self._hidden: str | None = None

    def _forget(self) -> None:
        self._outputs: list[Node] = []
        self._inputs: list[Node] = []
        self._given: set[int] = set()
        self._reached: set[int] = set()
        self._strange: dict[int, Tensor] = {}
        self._walked = False

    def arm(self) -> None:
        if self._left:
            self._tracer.attach(self.subject.modules())

    def root_call(
        self, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], out: Any
    ) -> None:
        if len(self._outputs) >= MAX_CALLS:
            return
        given = list(tensors((args, kwargs)))
        self._given.update(id(x) for x in given)
        self._inputs += [x.grad_fn for x in given if x.grad_fn is not None]
        self._outputs += [x.grad_fn for x in tensors(out) if x.grad_fn is not None]

    def objective(self, loss: Tensor) -> None:
        if self._left:
            self._walk(loss.grad_fn)

    def gradients_ready(self, *, due: bool) -> None:
        if self._left:
            self._reached.update(id(p) for _, p, _ in self.subject.gradients())

    def collect(self) -> Iterable[Measurement]:
        if not self._left:
            return []
        if not self._walked and self._outputs:
            self._walk(None)
        made = list(self._table()) if self._walked and self._hidden is None else []
        self._left -= 1
        self._forget()
        return made

    def disarm(self) -> None:
        self._tracer.detach()
        self._forget()

    def state(self) -> dict[str, Any]:
        return {"left": self._left, "hidden": self._hidden}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._left, self._hidden = state.get("left", self._left), state.get("hidden")

    def blind(self) -> Iterable[str]:
        if self._hidden is not None:
            yield f"Which parameters the loss leads to was not measured: {self._hidden}."

    def _walk(self, loss: Node | None) -> None:
        """Learn from the graph of a loss, or of the model's outputs if the loss came without one."""
        try:
            # An output that becomes an input again leads to what the model used all the same.
            outside = leaves(self._inputs, behind=self._outputs)
            inside = leaves(self._outputs)
            reached = leaves([loss]) if loss is not None else inside
        except Opaque as reason:
            self._hidden = str(reason)
        else:
            self._walked = True
            self._reached.update(reached)
            self._strange |= {
                key: x for key, x in inside.items() if key in reached and key not in outside | self._skip()
            }
        self._outputs, self._inputs = [], []

    def _skip(self) -> dict[int, None]:
        ours = (*self.subject.model.parameters(), *self.subject.model.buffers(), *self._held())
        return dict.fromkeys([*self._given, *map(id, ours)])

    def _held(self) -> Iterator[nn.Parameter]:
        for optimizer in self.subject.optimizers:
            for group in optimizer.param_groups:
                yield from group["params"]

    def _table(self) -> Iterator[Measurement]:
        if any(_is_sharded(p) for _, p in self.subject.parameters):
            self._hidden = "parameters are sharded over processes"
            return
        held = {id(p) for p in self._held()}
        owners = _owners(self.subject.model)
        seen, ran = self._tracer.hooked, self._tracer.ran
        rows = []
        for name, p in self.subject.parameters:
            mine, reached = owners.get(id(p), set()), id(p) in self._reached
            # Whether a module ran inside of compiled code is not known.
            if p.requires_grad and (reached or mine <= seen):
                there = id(p) in held or not self.subject.optimizers
                rows.append((name, p.numel(), there, True, bool(mine & ran), reached))
        shapes = {p.shape for _, p in self.subject.parameters}
        strange = [x for x in self._strange.values() if isinstance(x, nn.Parameter) or x.shape not in shapes]
        rows += [(f"unregistered[{i}]", x.numel(), False, False, True, True) for i, x in enumerate(strange)]
        statistics = ("count", "held", "registered", "executed", "reached")
        if rows:
            names, *columns = zip(*rows, strict=True)
            known = {key: [float(x) for x in column] for key, column in zip(statistics, columns, strict=True)}
            yield Measurement(kind="wiring", names=tuple(map(str, names)), known=known)


def _owners(model: nn.Module) -> dict[int, set[int]]:
    """ids of the modules that each parameter belongs to; lists of parameters and parametrizations, which are
    never called, stand for the module that they are in.
    """
    owners: dict[int, set[int]] = {}
    standing = {id(model): id(model)}
    for module in model.modules():
        for child in module.children():
            passive = isinstance(child, _HOLDERS) or isinstance(module, _HOLDERS)
            passive = passive or _inside_parametrization(module, child)
            standing[id(child)] = standing[id(module)] if passive else id(child)
        for p in module._parameters.values():
            if p is not None:
                owners.setdefault(id(p), set()).add(standing[id(module)])
    return owners


def _inside_parametrization(module: nn.Module, child: nn.Module) -> bool:
    """Whether `child` is the dictionary in which a module keeps what computes its parameters."""
    return module._modules.get("parametrizations") is child


def _is_sharded(p: nn.Parameter) -> bool:
    """Whether what the forward pass uses is another tensor, gathered from several processes."""
    return hasattr(p, "device_mesh") or hasattr(p, "ds_id") or hasattr(p, "_sharded_size")
