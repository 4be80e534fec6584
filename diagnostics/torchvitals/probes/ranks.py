"""The probe that sets the ranks of a data-parallel training side by side."""

import hashlib
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from torchvitals.core.tables import NONE_BAD
from torchvitals.probes.base import Probe
from torchvitals.probes.hooks import InertCopy
from torchvitals.probes.measurement import Measurement, Readback
from torchvitals.probes.reduce import dense

if TYPE_CHECKING:
    from torchvitals.probes.noticeboard import Noticeboard

GRADIENT = ("count", "nonfinite", "sum_sq", "first_step")
PARAMETER = ("count", "nonfinite", "sum", "sum_sq")
WAITING = 8
"""Steps whose numbers may be on their way from the device."""


class RankProbe(Probe):
    """Of every rank: its gradients before they are averaged, the first step at which its loss was not finite,
    and checksums of its parameters, in the steps that are due by the schedule.

    Each rank leaves its numbers on a board, and the first one reads those of each step that all have told:
    no collective, so that no rank waits for another. Only for replicas under `DistributedDataParallel`.
    """

    name = "ranks"
    provides = frozenset({"rank", "rank_gradient"})
    always = True

    def start(self, subject, wanted) -> None:
        super().start(subject, wanted)
        self._handles: list[Any] = []
        self._local = _Local()
        self._first_step: Tensor | None = None
        self._on_its_way: deque[tuple[int, Readback]] = deque(maxlen=WAITING)
        self._told = -1
        self._board, self._why_not = self._opened()

    def arm(self) -> None:
        if self._board is not None and self.subject.scheduled:
            self._local = _Local([])
            trainable = [p for _, p in self.subject.parameters if p.requires_grad]
            self._handles = [p.register_hook(self._local) for p in trainable]

    def objective(self, loss: Tensor) -> None:
        if self._board is not None:
            seen = loss.detach().float().sum()
            step = torch.where(torch.isfinite(seen), NONE_BAD, float(self.subject.step)).double()
            before = self._first_step
            self._first_step = step if before is None else torch.minimum(before, step.to(before.device))

    def collect(self) -> Iterable[Measurement]:
        if self._board is None:
            return []
        try:
            if self.subject.scheduled:
                self._on_its_way.append((self.subject.step, Readback(self._own(), {})))
            return self._exchanged(self._board)
        except Exception as error:
            self._board, self._why_not = None, f"this rank failed to ({type(error).__name__})"
            return []

    def disarm(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles, self._local = [], _Local()

    def state(self) -> dict[str, Any]:
        # Not the first step whose loss was not finite: one checkpoint serves all ranks.
        return {"told": self._told}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._told = state.get("told", self._told)

    def blind(self) -> Iterable[str]:
        if self._why_not:
            yield f"Ranks were not compared: {self._why_not}."
        elif self._board is not None and self._told < 0 and dist.is_initialized() and dist.get_rank() == 0:
            yield "Ranks were not compared: the others told nothing; call `watch` on every rank."

    def _opened(self) -> "tuple[Noticeboard | None, str]":
        """The board, or why there is none; without a word where there is only one rank."""
        if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            return None, ""
        modules = self.subject.wrapper.modules()
        wrapper = next((m for m in modules if isinstance(m, DistributedDataParallel)), None)
        if wrapper is None:
            return None, "the model is not wrapped in DistributedDataParallel"
        names = "".join(name for name, _ in self.subject.parameters)
        try:
            from torchvitals.probes.noticeboard import Noticeboard  # some builds of torch have none

            return Noticeboard(wrapper.process_group, hashlib.sha256(names.encode()).hexdigest()[:16]), ""
        except Exception as error:  # a group without a store
            return None, f"they have nowhere to leave numbers ({type(error).__name__})"

    def _exchanged(self, board: "Noticeboard") -> Iterable[Measurement]:
        """Publish what has arrived from the device; give the tables of the next step that all have told."""
        while self._on_its_way and self._on_its_way[0][1].ready():
            step, readback = self._on_its_way.popleft()
            tables, _ = readback.read()
            rows = (tables["rank_gradient"], GRADIENT), (tables["rank"], PARAMETER)
            board.publish(step, [float(table[name][0]) for table, names in rows for name in names])
        found = board.after(self._told, now=self.subject.step)
        if found is None:
            return []
        self._told, rows = found
        return [
            _table("rank_gradient", GRADIENT, [row[: len(GRADIENT)] for row in rows]),
            _table("rank", PARAMETER, [row[len(GRADIENT) :] for row in rows]),
        ]

    def _own(self) -> list[Measurement]:
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
                names=("own",),
                known={"count": [float(count)]},
                statistics=GRADIENT[1:],
                values=torch.cat([gradient, first.to(sums.device).reshape(1)]).reshape(1, 3),
            ),
            Measurement(
                kind="rank",
                names=("own",),
                known={"count": [float(sum(x.numel() for x in kept))]},
                statistics=PARAMETER[1:],
                values=numbers.reshape(1, 3),
            ),
        ]


def _table(kind: str, statistics: Sequence[str], rows: Sequence[Sequence[float]]) -> Measurement:
    names = tuple(f"rank {i}" for i in range(len(rows)))
    known = {name: [row[i] for row in rows] for i, name in enumerate(statistics)}
    return Measurement(kind=kind, names=names, known=known)


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
