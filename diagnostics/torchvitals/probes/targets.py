"""What a loss function is asked to predict: classes, probabilities or numbers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

SIDES = 2
"""Classes that have to be on either side of the middle of the weights, or one class alone is favoured."""
_BINARY = ("binary_cross_entropy", "binary_cross_entropy_with_logits")


@dataclass(frozen=True)
class NumberTargets:
    """Targets of a regression."""

    x: Tensor
    """the prediction"""
    target: Tensor

    classes = 0
    class_axis = -1

    @property
    def count(self) -> float:
        return float(self.target.numel())

    @property
    def losses(self) -> Tensor:
        """How many losses the call computes: a float64 scalar."""
        shape = torch.broadcast_shapes(self.x.shape, self.target.shape)
        return self._number(float(shape.numel()))

    @property
    def ignored(self) -> Tensor:
        """1 where some targets do not count."""
        return self._number(0.0)

    def statistics(self) -> list[Tensor]:
        """target_sum, target_sq, target_low, target_high and prior: float64 scalars."""
        t = self.target.double()
        clean = torch.nan_to_num(t, nan=0.0, posinf=0.0, neginf=0.0)
        low, high = clean.aminmax()
        return [clean.sum(), clean.square().sum(), low, high, self.prior()]

    def prior(self) -> Tensor:
        """Entropy of the classes in nats, times the targets: what a constant prediction has to pay."""
        return self._number(0.0)

    def follow(self, _weight: Tensor | None) -> Tensor:
        """Correlation of the logarithms of the classes' weights and counts, in [-1, 1]; -1 where there are
        no weights to speak of.
        """
        return self._number(-1.0)

    def present(self) -> Tensor:
        """Which classes are among the targets."""
        return torch.zeros(0, dtype=torch.bool, device=self.x.device)

    def _number(self, value: float) -> Tensor:
        return torch.full((), value, dtype=torch.float64, device=self.x.device)


@dataclass(frozen=True)
class BinaryTargets(NumberTargets):
    """Targets between 0 and 1: of one question, or of as many as a matrix has columns."""

    @property
    def classes(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.x.shape[1] if self.x.ndim == 2 and self.x.shape[1] > 1 else 0

    class_axis = 1

    def _questions(self) -> Tensor:
        """float64, shape (samples, questions)"""
        t = self.target.double()
        return t.reshape(-1, self.classes) if self.classes and t.shape == self.x.shape else t.reshape(-1, 1)

    def prior(self) -> Tensor:
        p = self._questions().mean(0).clamp(0, 1)
        return -(torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p)).mean() * self.count

    def present(self) -> Tensor:
        """Per question whether a sample says yes; of one question alone, whether there is a no and a yes."""
        yes = self._questions() > 0.5
        return yes.any(0) if yes.shape[1] > 1 else torch.stack([(~yes).any(), yes.any()])


@dataclass(frozen=True)
class ClassTargets(NumberTargets):
    """One class out of several for each target, as its index or as a distribution."""

    ignore: int | None

    @property
    def class_axis(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return 1 if self.x.ndim > 1 else 0

    @property
    def classes(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.x.shape[self.class_axis]

    @property
    def soft(self) -> bool:
        return self.target.is_floating_point()

    @property
    def count(self) -> float:
        return self.target.numel() / (self.classes if self.soft else 1)

    @property
    def losses(self) -> Tensor:
        return self._number(self.count) if self.soft else self._valid().sum(dtype=torch.float64).clamp(min=1)

    @property
    def ignored(self) -> Tensor:
        return self._number(0.0) if self.soft else (~self._valid()).any().double()

    def statistics(self) -> list[Tensor]:
        """Those of the indices that count."""
        if self.soft:
            return super().statistics()
        valid = self._valid()
        t = torch.where(valid, self.target, 0).double()
        low = torch.where(valid, self.target, self.classes).min().double()
        return [t.sum(), t.square().sum(), low, t.max(), self.prior()]

    def prior(self) -> Tensor:
        mass = self._mass()
        p = mass / mass.sum().clamp(min=1e-300)
        return -torch.xlogy(p, p).sum() * self.count

    def follow(self, weight: Tensor | None) -> Tensor:
        if weight is None or weight.numel() != self.classes:
            return self._number(-1.0)
        counts, w = torch.log1p(self._mass()), weight.detach().double()
        judged = w > 0  # a class that does not count at all is another matter
        logs = torch.where(judged, w, 1.0).log()
        high, low = (torch.where(judged, s * logs, -math.inf).amax() * s for s in (1.0, -1.0))
        heavy = judged & (logs > (high + low) / 2)
        speaks = (heavy.sum() >= SIDES) & ((judged & ~heavy).sum() >= SIDES) & (high - low >= math.log(2))
        return torch.where(speaks, _correlation(logs, counts, judged), -1.0).to(self.x.device)

    def present(self) -> Tensor:
        return self._mass() > 0

    def _mass(self) -> Tensor:
        """How much of the targets each class has: float64, shape (classes,)."""
        if self.soft:
            others = [dim for dim in range(self.target.ndim) if dim != self.class_axis]
            return self.target.sum(others, dtype=torch.float64) if others else self.target.double()
        # What does not count goes into a class of its own; counting so needs no look at the numbers.
        index = torch.where(self._valid(), self.target, self.classes).reshape(-1).long()
        counts = torch.zeros(self.classes + 1, dtype=torch.float64, device=index.device)
        return counts.scatter_add_(0, index, torch.ones_like(index, dtype=torch.float64))[:-1]

    def _valid(self) -> Tensor:
        inside = (self.target >= 0) & (self.target < self.classes)
        return inside & (self.target != self.ignore) if self.ignore is not None else inside


def _correlation(a: Tensor, b: Tensor, among: Tensor) -> Tensor:
    """Pearson's, over the entries `among`: a float64 scalar, -1 where one of them does not vary."""
    n = among.sum()
    da, db = (torch.where(among, x - torch.where(among, x, 0.0).sum() / n, 0.0) for x in (a, b))
    found = (da * db).sum() / (da.square().sum() * db.square().sum()).sqrt()
    return torch.nan_to_num(found, nan=-1.0)


def targets_of(op: str, given: Mapping[str, Any], x: Tensor, target: Tensor) -> NumberTargets:
    """The targets of a call of loss function `op`."""
    if op in ("cross_entropy", "nll_loss"):
        return ClassTargets(x, target, given.get("ignore_index"))
    return BinaryTargets(x, target) if op in _BINARY else NumberTargets(x, target)
