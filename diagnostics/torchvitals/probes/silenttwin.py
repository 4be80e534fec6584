"""A copy of a model that can be asked again without anybody noticing."""

import copy
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from torchvitals.probes.reduce import tensors


class Twin:
    """A copy in eval mode without the user's hooks, who would take its passes for those of the model; hooks
    of torch itself compute weights.
    """

    def __init__(self, module: nn.Module, size: int) -> None:
        self._module = _copy(module)
        self._size = size
        self._outputs: dict[str, Tensor] = {}
        for name, inner in self._module.named_modules():
            if name:
                inner.register_forward_hook(_Keep(self, name))

    def keep(self, name: str, out: Any) -> None:
        """What a module gave at its first call, if it is a batch as large as the input."""
        found = next((x for x in tensors(out) if x.ndim and x.numel()), None)
        if found is not None and found.shape[0] == self._size and not found.is_complex():
            self._outputs.setdefault(name, found.detach().clone())  # may be changed in place

    def of(self, given: Any) -> tuple[Any, dict[str, Tensor]]:
        """What it gives, and what each module inside gave on the way, in the order in which they ended."""
        self._outputs = {}
        args, kwargs = given
        with _undisturbed(given):
            return self._module(*args, **kwargs), self._outputs


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
