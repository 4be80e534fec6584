"""The probe of recurrent layers: how much of the gradient comes back to the beginning of a sequence."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from torchvitals.probes.base import Probe
from torchvitals.probes.hooks import uncompiled
from torchvitals.probes.measurement import Measurement, Row, stacked
from torchvitals.probes.shards import plain_class
from torchvitals.probes.sites import Tracer

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle

STATISTICS = ("early_sq", "late_sq")
SHORTEST = 16
"""Time steps that make a sequence long enough to be forgotten."""


class RecurrenceProbe(Probe):
    """`nn.RNN`, `nn.LSTM` and `nn.GRU` of one direction in due steps: the gradient of the loss by what they
    read, in the first and in the last eighth of its time steps.

    Only where a gradient by the input is computed at all, as behind an embedding. Packed sequences end at
    different times, and are left out.
    """

    name = "recurrence"
    provides = frozenset({"memory"})

    def start(self, subject, wanted) -> None:
        super().start(subject, wanted)
        self._tracer = Tracer(self, subject.clock)
        self._rows: list[Row] = []
        self._handles: list[RemovableHandle] = []
        self._armed = False

    def arm(self) -> None:
        self._armed = True
        self._tracer.attach(self.subject.modules())

    def disarm(self) -> None:
        self._armed = False
        self._tracer.detach()
        # What was read may outlive its graph, as a parameter does, and would keep the hooks.
        while self._handles:
            self._handles.pop().remove()

    def module_call(
        self, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        if not isinstance(module, nn.RNNBase) or module.bidirectional:
            return
        x = args[0] if args else kwargs.get("input")
        dim = 1 if module.batch_first else 0
        if isinstance(x, Tensor) and x.ndim == 3 and x.requires_grad and x.shape[dim] >= SHORTEST:
            hook = _InputHook(self, path or "model", plain_class(module).__name__, dim)
            self._handles.append(x.register_hook(hook))

    def gradient(self, name: str, op: str, dim: int, gradient: Tensor) -> None:
        if not self._armed:
            return
        steps = gradient.shape[dim]
        parts = (gradient.narrow(dim, start, steps // 8) for start in (0, steps - steps // 8))
        squares = torch.stack([torch.linalg.vector_norm(p, dtype=torch.float64).square() for p in parts])
        values = torch.where(torch.isfinite(squares).all(), squares, 0.0)
        self._rows.append(Row(name=name, known={"op": op, "steps": float(steps)}, values=values))

    def collect(self) -> Iterable[Measurement]:
        rows, self._rows = self._rows, []
        return stacked("memory", rows, STATISTICS)


class _InputHook:
    """A tensor hook on what one call of a recurrent layer reads."""

    def __init__(self, probe: RecurrenceProbe, name: str, op: str, dim: int) -> None:
        self._probe, self._name, self._op, self._dim = probe, name, op, dim

    @uncompiled
    def __call__(self, gradient: Tensor) -> None:
        self._probe.guarded(self._probe.gradient, self._name, self._op, self._dim, gradient.detach())
