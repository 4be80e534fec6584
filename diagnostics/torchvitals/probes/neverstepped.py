"""Whether gradients are computed and thrown away while no optimizer ever steps."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from torchvitals.probes.hooks import InertCopy, uncompiled
from torchvitals.probes.shards import local
from torchvitals.probes.subject import records_graph

PATIENCE = 4
"""iterations with a gradient that was thrown away, after which no step is expected any more"""
BLIND_PATIENCE = 32
"""the same where it cannot be seen that the gradients were finite: a GradScaler which nobody told us of may
skip a dozen steps at the start
"""


class NeverStepped:
    """Watches the smallest trainable parameter until the first step of an optimizer.

    Gradients that add up belong to a step to come. Gradients that were found emptied, in one iteration after
    the other, belong to none; unless the parameter changed meanwhile, by whose hand ever. Emptying by filling
    with zeros is seen on the CPU alone: elsewhere looking would wait for the device.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        fit = [p for p in parameters if p.requires_grad and p.is_leaf]
        self._p = min(fit, key=lambda p: p.numel(), default=None)
        self._handle = self._p.register_hook(_GradientHook(self)) if self._p is not None else None
        self._version = self._p._version if self._p is not None else 0
        self._computed = False
        self._thrown = 0

    def gradient(self, incoming: Tensor) -> None:
        """A backward pass brings `incoming`."""
        if self._p is None or records_graph():
            return
        grad = local(self._p.grad.detach()) if self._p.grad is not None else None
        incoming = local(incoming)
        host = incoming.device.type == "cpu" and incoming.layout is torch.strided
        empty = grad is None or (host and not bool(grad.any()))
        self._thrown += self._computed and empty
        self._computed = not host or bool(torch.isfinite(incoming).all() and incoming.any())

    def stepped(self) -> None:
        """An optimizer has stepped after all."""
        if self._handle is not None:
            self._handle.remove()
        self._p = self._handle = None

    close = stepped

    @property
    def over(self) -> bool:
        """Whether a step was seen, or there is nothing to wait for."""
        return self._p is None

    @property
    def certain(self) -> bool:
        """Whether no step is to be expected."""
        if self._p is None or self._p._version != self._version:
            return False
        return self._thrown >= (PATIENCE if self._p.device.type == "cpu" else BLIND_PATIENCE)


class _GradientHook(InertCopy):
    """A tensor hook of the parameter."""

    def __init__(self, watch: NeverStepped | None = None) -> None:
        self._watch = watch

    @uncompiled
    def __call__(self, gradient: Tensor) -> None:
        if self._watch is not None:
            with torch._C.DisableTorchFunction():
                self._watch.gradient(gradient.detach())
