"""The probe of whether the samples of a batch are computed independently of each other."""

import copy
import random
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from torchvitals.probes.base import Probe
from torchvitals.probes.measurement import Measurement, Row, stacked
from torchvitals.probes.mixable import (
    Unfit,
    batch_size,
    first_output,
    require_batches,
    require_small,
    with_first_only,
)
from torchvitals.probes.reduce import tensors
from torchvitals.probes.sites import Tracer

_NOISE = 1e-5
"""part of the output's scale by which two equal passes may differ"""


class MixingProbe(Probe):
    """How much the output for the first sample changes when all others are replaced by copies of it.

    A permutation of the others would not do: sums over the batch, such as those of a softmax along it, stay
    the same. Measured at the end of the first due step that ran the model, on a deep copy in eval mode
    without gradients, with the state of the random generators restored before each pass. Only models are
    measured whose inputs all have the samples along dimension 0, as far as that can be told.
    """

    name = "mixing"
    provides = frozenset({"mixing"})

    def start(self, subject, wanted) -> None:
        super().start(subject, wanted)
        self._tracer = Tracer(self, subject.clock)
        self._call: tuple[str, nn.Module, Any, Any] | None = None
        self._done = False
        self._why_not: str | None = None

    def arm(self) -> None:
        if not self._done:
            self._tracer.attach(self.subject.modules())

    def root_call(
        self, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], out: Any
    ) -> None:
        trains = next(module.parameters(), None) is not None
        if self._call is None and not self._done and trains and next(tensors(out), None) is not None:
            self._call = path or "model", module, args, kwargs

    def failed(self, error: Exception) -> None:
        self._refuse(error)

    def collect(self) -> Iterable[Measurement]:
        if self._call is None:
            return []
        (path, module, args, kwargs), self._call = self._call, None
        self._done = True
        try:
            return stacked(
                "mixing", [Row(name=path, known={}, values=_mixing(module, args, kwargs))], ("mixing",)
            )
        except Exception as error:  # the user's code, run in a way that it may not be made for
            self._refuse(error)
            return []

    def disarm(self) -> None:
        self._call = None
        self._tracer.detach()

    def blind(self) -> Iterable[str]:
        if self._why_not is not None:
            yield f"Whether samples of a batch influence each other was not measured: {self._why_not}."

    def _refuse(self, error: Exception) -> None:
        self._done = True
        why = str(error) if isinstance(error, Unfit) else f"a copy of the model raised {type(error).__name__}"
        self._why_not = self._why_not or why


def _mixing(module: nn.Module, args: Any, kwargs: Any) -> Tensor:
    """Largest change over the output's largest entry: float64, shape (1,)."""
    require_small(module)
    size = batch_size((args, kwargs))
    require_batches(module, (args, kwargs), size)
    twin = _silent_copy(module)
    replaced = with_first_only((args, kwargs))
    outs = []
    for given_args, given_kwargs in ((args, kwargs), (args, kwargs), replaced):
        with _undisturbed((args, kwargs)):
            outs.append(first_output(twin(*given_args, **given_kwargs), size))
    out, again, changed = (o.detach().double() for o in outs)
    scale = out.abs().amax() + torch.finfo(torch.float32).tiny
    repeats = (out - again).abs().amax() <= _NOISE * scale
    mixing = (out[0] - changed[0]).abs().amax() / scale
    # A model whose output differs from call to call says nothing about its samples.
    return torch.nan_to_num(torch.where(repeats, mixing, 0.0), nan=0.0, posinf=0.0).reshape(1)


def _silent_copy(module: nn.Module) -> nn.Module:
    """A copy in eval mode without the user's hooks, who would take its passes for those of the model; hooks
    of torch itself compute weights.
    """
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
