"""The probe of batch norms: how far what they will evaluate with is from what they train with."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from torchvitals.probes.base import Probe
from torchvitals.probes.measurement import Measurement, Row, stacked
from torchvitals.probes.reduce import NARROW, dense, tensors
from torchvitals.probes.shards import plain_class
from torchvitals.probes.sites import Tracer

STATISTICS = ("count", "shift_sq", "stretch_sq", "moved")


class NormalisationProbe(Probe):
    """Batch norms that keep running statistics, in the due steps' training passes: those beside the
    statistics of the batch, and whether they have moved since the first look.

    `count` is the number of channels that both are known of. What is synchronised over processes is left
    out, since its batch is larger than the one seen here; so is what has a forward pass of its own, since
    that may normalise something else than it is given.
    """

    name = "normalisation"
    provides = frozenset({"normalisation"})

    def start(self, subject, wanted) -> None:
        super().start(subject, wanted)
        self._tracer = Tracer(self, subject.clock)
        self._rows: list[Row] = []
        self._first: dict[str, Tensor] = {}
        self._moved_before: frozenset[str] = frozenset()
        self._unread: dict[str, str] = {}

    def arm(self) -> None:
        self._tracer.attach(self.subject.modules())

    def disarm(self) -> None:
        self._tracer.detach()

    def module_call(
        self, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        # `SyncBatchNorm` has a forward pass of its own, too.
        if not isinstance(module, _BatchNorm) or type(module).forward is not _BatchNorm.forward:
            return
        x = next(tensors((args, kwargs)), None)
        if x is None:
            return
        try:
            self._look(path or "model", module, x)
        except Exception as error:  # costs this row; the other norms can still be read
            self._unread[path or "model"] = type(error).__name__

    def _look(self, name: str, module: _BatchNorm, x: Tensor) -> None:
        """Keep a row, if `x` and the running statistics have the same channels."""
        mean, variance = module.running_mean, module.running_var
        if mean is None or variance is None or x.ndim < 2:
            return
        if x.shape[1] != mean.numel() or x.numel() <= x.shape[1]:
            return
        momentum = 1.0 if module.momentum is None else float(module.momentum)
        known = {
            "op": plain_class(module).__name__,
            "samples": x.numel() / x.shape[1],
            "training": float(module.training),
            "momentum": momentum,
        }
        now = torch.stack([mean.detach(), variance.detach()])
        values = torch.cat([_distance(x, now, module.eps), self._moved(name, now)])
        self._rows.append(Row(name=name, known=known, values=values))

    def _moved(self, name: str, now: Tensor) -> Tensor:
        """Whether the statistics are others than at the first look: 0 or 1, shape (1,), float64."""
        first = self._first.setdefault(
            name, torch.full_like(now, torch.nan) if name in self._moved_before else now
        )
        if first.shape != now.shape or first.device != now.device:
            first = self._first[name] = now
        return (first != now).any().double().reshape(1)

    def collect(self) -> Iterable[Measurement]:
        rows, self._rows = self._rows, []
        return stacked("normalisation", rows, STATISTICS)

    def state(self) -> dict[str, Any]:
        """Names of the norms whose statistics have moved; the others are still what they were."""
        norms = {path or "model": m for path, m in self.subject.modules() if isinstance(m, _BatchNorm)}
        return {"moved": [name for name, first in self._first.items() if _has_moved(first, norms.get(name))]}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._moved_before = frozenset(state.get("moved", ()))

    def blind(self) -> Iterable[str]:
        for name, error in self._unread.items():
            yield f"Statistics of the batches of {name}: reading them raised {error}."


def _has_moved(first: Tensor, norm: _BatchNorm | None) -> bool:
    """Whether the statistics are others than `first`, which nothing equals if it holds NaN."""
    if norm is None or norm.running_mean is None or norm.running_var is None:
        return False
    now = torch.stack([norm.running_mean.detach(), norm.running_var.detach()])
    return now.shape != first.shape or now.device != first.device or bool((first != now).any())


def _distance(x: Tensor, running: Tensor, eps: float) -> Tensor:
    """Channels; squared distances of the means, in deviations of the batch; squared logarithms of the
    variances' quotients; the latter two summed over the channels. Shape (3,), float64, 0 where not finite.
    """
    x = dense(x)
    wide = x.float() if x.dtype in NARROW else x
    # `torch.var_mean` would take some thirty times as long on a CPU.
    others = [dim for dim in range(x.ndim) if dim != 1]
    mean = wide.mean(others, keepdim=True)
    samples = x.numel() / x.shape[1]
    variance = (wide - mean).square().mean(others).double() * (samples / (samples - 1)) + eps
    mean, running = mean.flatten().double(), running.double()
    shift = (running[0] - mean).square() / variance
    stretch = ((running[1] + eps) / variance).log().square()
    values = torch.stack([torch.ones_like(shift), shift, stretch])
    return torch.where(torch.isfinite(shift + stretch), values, 0.0).sum(1)
