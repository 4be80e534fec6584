"""The probe of the calls of loss functions."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from torchvitals.probes.base import Probe
from torchvitals.probes.lineage import made_by
from torchvitals.probes.lossfunctions import LOSSES, arguments, reduction
from torchvitals.probes.measurement import Measurement, Row, stacked
from torchvitals.probes.mislaid import crossed, swapped
from torchvitals.probes.reduce import readable, summarise
from torchvitals.probes.shards import mesh_of
from torchvitals.probes.sites import Tracer
from torchvitals.probes.targets import ClassTargets, targets_of

MAX_CALLS = 8
"""Calls of one iteration that are measured."""

STATISTICS = (
    *("loss_sum", "low", "high", "sum", "sum_sq", "row_error", "adjusted"),
    *("weights_follow", "target_sum", "target_sq", "target_low", "target_high", "prior"),
)


class LossProbe(Probe):
    """Calls of loss functions in due steps, inside of the model and between its forward and backward pass.

    `count` is the number of targets, `loss_sum` the mean loss per target times it, whatever the reduction;
    `sum`, `sum_sq`, `low` and `high` are of the prediction. A loss written by hand has a row only
    where it compares every prediction with every target.
    """

    name = "loss"
    provides = frozenset({"loss"})
    always = True  # what could not be switched off at the end of a due step is switched off in the next one

    def start(self, subject, wanted) -> None:
        super().start(subject, wanted)
        self._tracer = Tracer(self, subject.clock)
        self._rows: list[Row] = []
        self._calls: dict[str, int] = {}
        self._looked = self._seen = self._armed = False

    def arm(self) -> None:
        self._looked = self._armed = True
        self._tracer.attach(self.subject.modules())

    def objective(self, loss: Tensor) -> None:
        if self._armed and not self._rows and mesh_of(loss) is None and (n := crossed(loss)):
            self._rows.append(_by_hand(n, loss.detach()))

    def disarm(self) -> None:
        self._armed = False
        self._tracer.detach()

    def begin(self, batch: Any, index: int) -> None:
        self._calls.clear()
        self._tracer.release()

    def gradients_ready(self, *, due: bool) -> None:
        self._tracer.release()

    def loss_call(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], out: Any
    ) -> None:
        if sum(self._calls.values()) >= MAX_CALLS:
            return
        given = arguments(func, args, kwargs)
        prediction, target = given["input"], given["target"]
        if not (_fits(prediction) and _fits(target) and isinstance(out, Tensor)):
            return
        if prediction.requires_grad and prediction.numel() and target.numel() and readable(prediction):
            op = LOSSES[func]
            self._calls[op] = calls = self._calls.get(op, 0) + 1
            name = op if calls == 1 else f"{op}#{calls}"
            self._rows.append(_row(name, op, given, prediction, target.detach(), out.detach()))
            self._seen = True

    def collect(self) -> Iterable[Measurement]:
        self._tracer.release()
        self._calls.clear()
        rows, self._rows = self._rows, []
        return stacked("loss", rows, STATISTICS)

    def state(self) -> dict[str, Any]:
        return {"looked": self._looked, "seen": self._seen}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._looked, self._seen = state.get("looked", False), state.get("seen", False)

    def blind(self) -> Iterable[str]:
        if self._looked and not self._seen:
            yield "No loss function of torch.nn.functional was seen: its own code, or compiled, or hidden."


def _fits(x: Any) -> bool:
    plain = isinstance(x, Tensor) and not x.is_nested and x.layout is torch.strided and not x.is_complex()
    return plain and mesh_of(x) is None


def _row(
    name: str, op: str, given: Mapping[str, Any], prediction: Tensor, target: Tensor, out: Tensor
) -> Row:
    after, axis = made_by(prediction)
    x = prediction.detach()
    targets = targets_of(op, given, x, target)
    classes = targets.classes
    changes = (given.get("weight"), given.get("pos_weight"), given.get("label_smoothing") or None)
    adjusted = torch.full_like(targets.ignored, any(change is not None for change in changes))
    known = {
        "op": op,
        "after": after,
        "reduction": reduction(given),
        "count": targets.count,
        "classes": float(classes),
        "axis": float(axis),
        "broadcast": float(not isinstance(targets, ClassTargets) and x.shape != target.shape),
        "swapped": float(classes > 1 and swapped(prediction)),
    }
    _, total, squares, _ = summarise(x)
    low, high = x.aminmax()
    values = [
        _mean_loss(out, reduction(given), x, targets.losses) * targets.count,
        *(torch.nan_to_num(low).double(), torch.nan_to_num(high).double(), total, squares),
        _row_error(x, targets.class_axis if classes > 1 else None),
        torch.maximum(targets.ignored, adjusted),
        targets.follow(given.get("weight")),
        *targets.statistics(),
    ]
    packed = torch.stack([value.to(x.device) for value in values])
    return Row(name=name, known=known, values=packed, units={"present": targets.present()})


def _by_hand(n: int, loss: Tensor) -> Row:
    """A loss that compares each of n predictions with each of n targets; of these nothing else is known."""
    known = {"op": "difference", "after": "", "reduction": "mean", "count": float(n), "classes": 0.0}
    known |= {"axis": -1.0, "broadcast": 1.0, "swapped": 0.0}
    values = loss.new_zeros(len(STATISTICS), dtype=torch.float64)
    values[STATISTICS.index("loss_sum")] = loss.double() * n
    values[STATISTICS.index("row_error")] = values[STATISTICS.index("weights_follow")] = -1.0
    none = torch.zeros(0, dtype=torch.bool, device=loss.device)
    return Row(name="loss", known=known, values=values, units={"present": none})


def _mean_loss(out: Tensor, how: str, x: Tensor, losses: Tensor) -> Tensor:
    """Mean over `losses`, the number of losses that the call computed, whatever became of them."""
    if how == "mean":
        return out.double()
    if how == "batchmean":
        return out.double() * x.shape[0] / losses
    return out.sum(dtype=torch.float64) / losses


def _row_error(x: Tensor, axis: int | None) -> Tensor:
    """Largest distance of a row's sum from 1: 0 for probabilities. -1 where there are no classes, and for
    what is not finite.
    """
    if axis is None:
        return torch.full((), -1.0, dtype=torch.float64, device=x.device)
    wide = torch.float64 if x.dtype is torch.float64 else torch.float32
    error = (x.sum(axis, dtype=wide) - 1).abs().amax()
    return torch.nan_to_num(error, nan=-1.0, posinf=-1.0).double()
