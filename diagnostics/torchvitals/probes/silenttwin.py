"""A copy of a model that can be asked again without anybody noticing."""

import copy
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from torchvitals.probes.reduce import tensors


@dataclass(frozen=True)
class Part:
    """What is kept of an output whose samples lie along dimension 0: whole outputs may fill the memory."""

    shape: torch.Size
    row: Tensor
    """of one sample, float64"""
    scale: Tensor
    """largest absolute value of all, a float64 scalar above 0"""

    @staticmethod
    def of(out: Tensor, row: int) -> "Part":
        # A cast to float64 copies unless it is one already, which may be changed in place later.
        return Part(out.shape, out.detach()[row].to(torch.float64, copy=True), scale(out.detach()))


def scale(out: Tensor) -> Tensor:
    """Largest absolute value, which may be divided by."""
    return out.abs().amax().double() + torch.finfo(torch.float32).tiny


class Twin:
    """A copy in eval mode without the user's hooks, who would take its passes for those of the model; hooks
    of torch itself compute weights. What it is given is its own: it may change it.
    """

    def __init__(self, module: nn.Module, size: int, row: int) -> None:
        self._module = _copy(module)
        self._size, self._row = size, row
        self._parts: dict[str, Part] | None = None
        for name, inner in self._module.named_modules():
            if name:
                inner.register_forward_hook(_Keep(self, name))

    def keep(self, name: str, out: Any) -> None:
        """What is read of a module's output at its first call, if it is a batch as large as the input."""
        if self._parts is None or name in self._parts:
            return
        found = next((x for x in tensors(out) if x.ndim and x.numel()), None)
        if found is not None and found.shape[0] == self._size and not found.is_complex():
            self._parts[name] = Part.of(found, self._row)

    def of(self, given: Any) -> Any:
        """What it gives."""
        args, kwargs = given
        with _undisturbed(given):
            return self._module(*args, **kwargs)

    def parts(self, given: Any) -> tuple[Any, dict[str, Part]]:
        """What it gives, and parts of what each module inside gave, in the order in which they ended."""
        self._parts = parts = {}
        try:
            return self.of(given), parts
        finally:
            self._parts = None


class _Keep:
    def __init__(self, twin: Twin, name: str) -> None:
        self._twin, self._name = twin, name

    def __call__(self, _module: nn.Module, _args: Any, out: Any) -> None:
        self._twin.keep(self._name, out)


def _copy(module: nn.Module) -> nn.Module:
    tables = [t for inner in module.modules() for t in (inner._forward_hooks, inner._forward_pre_hooks)]
    # Hooks are shared with the copy until they are taken off it: nobody knows what hangs on the user's own.
    shared = {id(hook): hook for table in tables for hook in table.values()}
    twin = copy.deepcopy(module, shared).eval()
    for inner in twin.modules():
        for kept in (inner._forward_hooks, inner._forward_pre_hooks):
            for key, hook in list(kept.items()):
                where = getattr(hook, "__module__", None) or type(hook).__module__
                if not where.startswith("torch."):
                    del kept[key]
    return twin


@contextmanager
def _undisturbed(given: Any) -> Iterator[None]:
    """No gradients, no warnings, and the generators of random numbers as they were."""
    devices = {x.device.index for x in tensors(given) if x.device.type == "cuda"}
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 - the user's code may use the old one
    with torch.random.fork_rng(devices), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
