"""The probe that sets the ranks of a data-parallel training side by side."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from torchvitals.core.tables import NONE_BAD
from torchvitals.probes.base import Probe
from torchvitals.probes.hooks import InertCopy
from torchvitals.probes.measurement import Measurement
from torchvitals.probes.reduce import dense
from torchvitals.probes.team import team_of

GRADIENT = ("nonfinite", "sum_sq", "first_step")
PARAMETER = ("nonfinite", "sum", "sum_sq")


class RankProbe(Probe):
    """Of this rank: its gradients before they are averaged, the first step at which its loss was not finite,
    and checksums of its parameters, in the steps that are due by the schedule.

    One row each, which the first rank sets beside those of the others. Only for replicas under
    `DistributedDataParallel`.
    """

    name = "ranks"
    provides = frozenset({"rank", "rank_gradient"})
    always = True

    def start(self, subject, wanted) -> None:
        super().start(subject, wanted)
        self._handles: list[Any] = []
        self._local = _Local()
        self._first_step: Tensor | None = None
        self._team, self._why_not = team_of(subject)
        if self._team is not None and not self._team.replicas:
            self._team, self._why_not = None, "parameters are sharded, so that there are no replicas"

    def arm(self) -> None:
        if self._team is not None and self.subject.scheduled:
            self._local = _Local([])
            trainable = [p for _, p in self.subject.parameters if p.requires_grad]
            self._handles = [p.register_hook(self._local) for p in trainable]

    def objective(self, loss: Tensor) -> None:
        if self._team is not None:
            seen = loss.detach().float().sum()
            step = torch.where(torch.isfinite(seen), NONE_BAD, float(self.subject.step)).double()
            before = self._first_step
            self._first_step = step if before is None else torch.minimum(before, step.to(before.device))

    def collect(self) -> Iterable[Measurement]:
        if self._team is None or not self.subject.scheduled:
            return []
        try:
            return self._own(f"rank {self._team.place}")
        except Exception as error:
            self._team, self._why_not = None, f"this rank failed to ({type(error).__name__})"
            return []

    def disarm(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles, self._local = [], _Local()

    def blind(self) -> Iterable[str]:
        if self._why_not:
            yield f"Ranks were not compared: {self._why_not}."

    def _own(self, name: str) -> list[Measurement]:
        """The numbers of this rank, still on their device."""
        kept = [dense(p) for _, p in self.subject.parameters if p.requires_grad and p.is_floating_point()]
        sums = torch.stack([x.sum(dtype=torch.float64) for x in kept]).sum()
        squares = torch.stack([torch.linalg.vector_norm(x, dtype=torch.float64) for x in kept]).square().sum()
        finite = torch.isfinite(sums) & torch.isfinite(squares)
        numbers = torch.stack([(~finite).double(), sums, squares]).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
        first = self._first_step if self._first_step is not None else torch.full_like(sums, NONE_BAD)
        count, gradient = self._local.total(sums)
        return [
            Measurement(
                kind="rank_gradient",
                names=(name,),
                known={"count": [float(count)]},
                statistics=GRADIENT,
                values=torch.cat([gradient, first.to(sums.device).reshape(1)]).reshape(1, 3),
            ),
            Measurement(
                kind="rank",
                names=(name,),
                known={"count": [float(sum(x.numel() for x in kept))]},
                statistics=PARAMETER,
                values=numbers.reshape(1, 3),
            ),
        ]


class _Local(InertCopy):
    """A hook on parameters that counts and sums what backward passes bring to them on this rank alone."""

    def __init__(self, arrived: list[Tensor] | None = None) -> None:
        self._arrived = arrived
        self._count = 0
        self._error: Exception | None = None

    def __call__(self, gradient: Tensor) -> None:
        if self._arrived is None:
            return
        try:
            with torch._C.DisableTorchFunction():
                x = dense(gradient)
                finite = torch.isfinite(x)
                norm = torch.linalg.vector_norm(torch.where(finite, x, 0.0), dtype=torch.float64)
                self._arrived.append(torch.stack([(~finite).sum(dtype=torch.float64), norm * norm]))
                self._count += x.numel()
        except Exception as error:  # in the middle of the user's backward pass
            self._error = error

    def total(self, like: Tensor) -> tuple[int, Tensor]:
        """Entries, and of these the non-finite ones and the sum of squares of the others: shape (2,)."""
        if self._error is not None:
            raise self._error
        rows = [row.to(like.device) for row in self._arrived or ()]
        return self._count, torch.stack(rows).sum(0) if rows else torch.zeros_like(like).expand(2)
