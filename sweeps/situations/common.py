"""The parts that most situations share: a loss, a score, and a training put together from them."""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from sweeps.situations.data import Data
from sweeps.situations.training import Training


def cross_entropy(model: nn.Module, batch: Any) -> Tensor:
    """Of class logits, the last dimension being classes."""
    x, y = batch
    return F.cross_entropy(model(x).flatten(0, -2), y.flatten())


def squared_error(model: nn.Module, batch: Any) -> Tensor:
    x, y = batch
    return F.mse_loss(model(x), y)


def error_rate(data: Data) -> Callable[[nn.Module], float]:
    """Share of wrong classes on the data kept aside; a model whose output is not a number is wrong."""

    def score(model: nn.Module) -> float:
        out = model(data.x_test)
        right = (out.argmax(-1) == data.y_test) & torch.isfinite(out).all(-1)
        return 1.0 - right.float().mean().item()

    return score


def loss_on_test(
    data: Data, loss: Callable[[nn.Module, Any], Tensor] = cross_entropy
) -> Callable[[nn.Module], float]:
    """Loss on the data kept aside."""

    def score(model: nn.Module) -> float:
        value = loss(model, (data.x_test, data.y_test)).item()
        return value if math.isfinite(value) else math.inf

    return score


def classify(
    model: nn.Module,
    data: Data,
    seed: int,
    *,
    optimizer: Optimizer | None = None,
    lr: float = 0.05,
    size: int = 64,
    steps: int = 200,
    loss: Callable[[nn.Module, Any], Tensor] = cross_entropy,
    **rest: Any,
) -> Training:
    """A classifier, trained by SGD with momentum if nothing else is asked for, scored by its error rate."""
    return Training(
        model=model,
        optimizers=(optimizer or torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9),),
        batch=data.batches(size, seed),
        loss=loss,
        score=rest.pop("score", error_rate(data)),
        steps=steps,
        **rest,
    )


def regress(
    model: nn.Module,
    data: Data,
    seed: int,
    *,
    optimizer: Optimizer | None = None,
    lr: float = 0.02,
    size: int = 64,
    steps: int = 200,
    **rest: Any,
) -> Training:
    """The same for a regression, scored by the squared error."""
    return Training(
        model=model,
        optimizers=(optimizer or torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9),),
        batch=data.batches(size, seed),
        loss=rest.pop("loss", squared_error),
        score=rest.pop("score", loss_on_test(data, squared_error)),
        steps=steps,
        **rest,
    )
