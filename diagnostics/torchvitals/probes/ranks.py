"""The probe that sets the ranks of a data-parallel training side by side."""

import hashlib
from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from torchvitals.core.tables import NONE_BAD
from torchvitals.probes.base import Probe
from torchvitals.probes.hooks import InertCopy
from torchvitals.probes.measurement import Measurement
from torchvitals.probes.reduce import dense

GRADIENT = ("count", "nonfinite", "sum_sq", "first_step")
PARAMETER = ("count", "nonfinite", "sum", "sum_sq")


class RankProbe(Probe):
    """Of every rank: its gradients before they are averaged, the first step at which its loss was not finite,
    and checksums of its parameters. One collective in each step that is due by the schedule, which is the
    same on all ranks, and none in any other.

    Only for replicas under `DistributedDataParallel`, all of which are watched.
    """

    name = "ranks"
    provides = frozenset({"rank", "rank_gradient"})
    always = True

    def start(self, subject, wanted) -> None:
        super().start(subject, wanted)
        self._wrapper = _wrapper(subject.wrapper)
        self._handles: list[Any] = []
        self._local = _Local()
        self._first_step: Tensor | None = None
        self._error: Exception | None = None
        self._why_not = self._refused()

    def arm(self) -> None:
        if self._why_not is None and self.subject.scheduled:
            self._local = _Local([])
            trainable = [p for _, p in self.subject.parameters if p.requires_grad]
            self._handles = [p.register_hook(self._local) for p in trainable]

    def objective(self, loss: Tensor) -> None:
        if self._why_not is None:
            seen = loss.detach().float().sum()
            step = torch.where(torch.isfinite(seen), NONE_BAD, float(self.subject.step)).double()
            before = self._first_step
            self._first_step = step if before is None else torch.minimum(before, step)

    def collect(self) -> Iterable[Measurement]:
        if self._why_not is not None or not self.subject.scheduled or self._joins():
            return []
        rows = self._gathered(self._own())
        names = tuple(f"rank {i}" for i in range(len(rows)))
        return [
            Measurement(kind="rank_gradient", names=names, statistics=GRADIENT, values=rows[:, :4]),
            Measurement(kind="rank", names=names, statistics=PARAMETER, values=rows[:, 4:]),
        ]

    def disarm(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles, self._local = [], _Local()

    def blind(self) -> Iterable[str]:
        if self._why_not:
            yield f"Ranks were not compared: {self._why_not}."
        if self._error is not None:
            yield f"This rank could not be measured beside the others: {type(self._error).__name__}."

    def _refused(self) -> str | None:
        """Why ranks are not compared; empty where there is only one, None where they are."""
        if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            return ""
        if self._wrapper is None:
            return "the model is not wrapped in DistributedDataParallel"
        from torchvitals.probes.agreement import Agreement  # some builds of torch have nothing to talk by

        names = "".join(name for name, _ in self.subject.parameters)
        subject = hashlib.sha256(names.encode()).hexdigest()[:16]
        if not Agreement(self._wrapper.process_group, subject).reached():
            return "not all of them are watched; call `watch` on every rank"
        return None

    def _joins(self) -> bool:
        """Whether ranks may have run out of data, and answer no collective but those of the gradients."""
        return self._wrapper is not None and self._wrapper._join_config.enable

    def _own(self) -> Tensor:
        """The numbers of this rank; zeros where they cannot be had: whoever stays away hangs the others."""
        device = self.subject.parameters[0][1].device
        try:
            first = self._first_step if self._first_step is not None else torch.tensor(NONE_BAD)
            gradient = self._local.total(device)
            return torch.cat([gradient, first.double().to(device).reshape(1), self._parameters()])
        except Exception as error:
            self._error = error
            return torch.zeros(len(GRADIENT) + len(PARAMETER), dtype=torch.float64, device=device)

    def _parameters(self) -> Tensor:
        """`PARAMETER` of this rank."""
        kept = [dense(p) for _, p in self.subject.parameters if p.requires_grad and p.is_floating_point()]
        sums = torch.stack([x.sum(dtype=torch.float64) for x in kept]).sum()
        squares = torch.stack([torch.linalg.vector_norm(x, dtype=torch.float64) for x in kept]).square().sum()
        finite = torch.isfinite(sums) & torch.isfinite(squares)
        count = sums.new_tensor(float(sum(x.numel() for x in kept)))
        told = torch.stack([count, (~finite).double(), sums, squares])
        return torch.nan_to_num(told, nan=0.0, posinf=0.0, neginf=0.0)

    def _gathered(self, local: Tensor) -> Tensor:
        """The numbers of all ranks: shape (ranks, statistics). On a GPU nothing waits."""
        assert self._wrapper is not None
        group = self._wrapper.process_group
        out = [torch.empty_like(local) for _ in range(dist.get_world_size(group))]
        dist.all_gather(out, local, group=group)
        return torch.stack(out)


def _wrapper(model: Any) -> DistributedDataParallel | None:
    return next((m for m in model.modules() if isinstance(m, DistributedDataParallel)), None)


class _Local(InertCopy):
    """A hook on parameters that counts and sums what backward passes bring to them on this rank alone."""

    def __init__(self, arrived: list[Tensor] | None = None) -> None:
        self._arrived = arrived

    def __call__(self, gradient: Tensor) -> None:
        if self._arrived is not None:
            with torch._C.DisableTorchFunction():
                x = dense(gradient)
                finite = torch.isfinite(x)
                norm = torch.linalg.vector_norm(torch.where(finite, x, 0.0), dtype=torch.float64)
                bad = x.numel() - torch.count_nonzero(finite)
                self._arrived.append(torch.stack([norm.new_tensor(x.numel()), bad.double(), norm * norm]))

    def total(self, device: torch.device) -> Tensor:
        """Count, non-finite entries and sum of squares over all that arrived."""
        if not self._arrived:
            return torch.zeros(3, dtype=torch.float64, device=device)
        return torch.stack(self._arrived).sum(0).to(device)
