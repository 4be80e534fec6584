"""Without this file output, loss and metric would be chosen apart from each other, and could disagree."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MeanAbsoluteError, Metric, R2Score
from torchmetrics.classification import (
    BinaryAccuracy,
    BinaryF1Score,
    MulticlassAccuracy,
    MulticlassF1Score,
    MultilabelAccuracy,
    MultilabelF1Score,
)

from models.errors import invalid, require_choice, require_count

IGNORED = -100
"Target of a position that neither loss nor metrics count; torch's own number for it."


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """What the outputs mean: their loss, how they are judged, and which targets fit them.

    `main_metric` is the metric to compare runs by; larger is better.
    """

    out_features: int
    "Number of raw outputs per example (or per position of a sequence)."
    main_metric: ClassVar[str] = "accuracy"

    def __post_init__(self) -> None:
        require_count("out_features", value=self.out_features, minimum=1)

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of raw outputs, a scalar."""

    @abstractmethod
    def metrics(self) -> dict[str, Metric]:
        """Fresh metrics by name; each is updated with `judged(outputs, targets)`."""

    @abstractmethod
    def judged(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """(predictions, targets) as the metrics read them: hard decisions, which nan outputs have too."""

    @abstractmethod
    def problem(self, outputs: Tensor, targets: Tensor) -> str | None:
        """The targets that these outputs need, in words, or None if the given ones fit."""

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        """Raise ValueError, naming shape, dtype and range, for targets that do not fit the outputs."""
        if needed := self.problem(outputs, targets):
            raise invalid("targets", value=_described(targets), choices=needed)


class Binary(Task):
    """One yes or no: (N, 1) logits, (N,) targets 0 or 1; binary cross-entropy."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(outputs.squeeze(-1), targets.to(outputs.dtype))

    def metrics(self) -> dict[str, Metric]:
        return {"accuracy": BinaryAccuracy(validate_args=False), "f1": BinaryF1Score(validate_args=False)}

    def judged(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return (outputs.squeeze(-1) > 0).int(), targets.int()

    def problem(self, outputs: Tensor, targets: Tensor) -> str | None:
        fits = outputs.shape == (*targets.shape, 1) and _zeros_and_ones(targets)
        return None if fits else f"0 or 1, of shape {_without_last(outputs)}, for one logit each"


class Multiclass(Task):
    """One of C classes: (N, C) or (N, steps, C) logits, (N,) or (N, steps) int64 targets; cross-entropy."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs.flatten(0, -2), targets.flatten(), ignore_index=IGNORED)

    def metrics(self) -> dict[str, Metric]:
        classes = max(self.out_features, 2)
        return {
            "accuracy": MulticlassAccuracy(
                classes, average="micro", ignore_index=IGNORED, validate_args=False
            ),
            "f1": MulticlassF1Score(classes, average="macro", ignore_index=IGNORED, validate_args=False),
        }

    def judged(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return outputs.argmax(dim=-1).flatten(), targets.flatten()

    def problem(self, outputs: Tensor, targets: Tensor) -> str | None:
        counted = targets[targets != IGNORED]
        fits = targets.dtype == torch.int64 and targets.shape == outputs.shape[:-1]
        if fits and _between(counted, low=0, high=outputs.shape[-1] - 1):
            return None
        classes = f"int64 in [0, {outputs.shape[-1] - 1}], or {IGNORED} to ignore"
        return f"{classes}, of shape {_without_last(outputs)}"


class Multilabel(Task):
    """K times yes or no: (N, K) logits, (N, K) targets 0 or 1; binary cross-entropy, averaged over labels."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(outputs, targets.to(outputs.dtype))

    def metrics(self) -> dict[str, Metric]:
        labels = max(self.out_features, 2)
        return {
            "accuracy": MultilabelAccuracy(labels, average="micro", validate_args=False),
            "f1": MultilabelF1Score(labels, average="macro", validate_args=False),
        }

    def judged(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return (outputs > 0).int(), targets.int()

    def problem(self, outputs: Tensor, targets: Tensor) -> str | None:
        fits = outputs.shape == targets.shape and _zeros_and_ones(targets)
        return None if fits else f"0 or 1, of shape {tuple(outputs.shape)}"


class Regression(Task):
    """Real numbers: (N, D) outputs, (N, D) float targets; mean squared error."""

    main_metric: ClassVar[str] = "r2"

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.mse_loss(outputs, targets)

    def metrics(self) -> dict[str, Metric]:
        return {"mae": MeanAbsoluteError(), "r2": R2Score()}

    def judged(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return outputs.flatten(), targets.flatten()

    def problem(self, outputs: Tensor, targets: Tensor) -> str | None:
        fits = (
            outputs.shape == targets.shape and targets.is_floating_point() and bool(targets.isfinite().all())
        )
        return None if fits else f"finite floats, of shape {tuple(outputs.shape)}"


TASKS: Mapping[str, type[Task]] = {
    "binary": Binary,
    "multiclass": Multiclass,
    "multilabel": Multilabel,
    "regression": Regression,
}


def task_named(name: str, *, out_features: int) -> Task:
    """The task of that name. Raises ValueError for an unknown one."""
    require_choice("task", value=name, choices=TASKS)
    return TASKS[name](out_features=out_features)


def _zeros_and_ones(targets: Tensor) -> bool:
    return bool(((targets == 0) | (targets == 1)).all())


def _between(targets: Tensor, *, low: int, high: int) -> bool:
    return bool(((targets >= low) & (targets <= high)).all())


def _without_last(outputs: Tensor) -> tuple[int, ...]:
    return tuple(outputs.shape[:-1])


def _described(targets: Tensor) -> str:
    kind = f"{str(targets.dtype).removeprefix('torch.')} of shape {tuple(targets.shape)}"
    if targets.numel() == 0:
        return kind
    return f"{kind} in [{targets.min().item():g}, {targets.max().item():g}]"
