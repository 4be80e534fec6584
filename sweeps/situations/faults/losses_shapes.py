"""Losses whose shapes, signs or sums went wrong."""

import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify, loss_on_test, regress
from sweeps.situations.data import digits, language, teacher
from sweeps.situations.networks import Gpt, mlp
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training


@register.fault(
    "broadcast-squared-error",
    source="own; (N, 1) against (N,)",
    codes={"TV405"},
    remedies=("squeeze the outputs",),
)
def broadcast_squared_error(level: Level | None, seed: int) -> Training:
    """Outputs (N, 1) and targets (N,) in mse_loss, whose warning nobody reads: every output is compared with
    every target, and the mean is all that can be learnt.
    """
    torch.manual_seed(seed)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x, y = batch
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return F.mse_loss(model(x), y if level is None else y[:, 0])

    return regress(mlp((16, 64, 64, 1)), teacher(), seed, loss=loss)


@register.fault(
    "broadcast-by-hand",
    source="own; (N, 1) against (N,)",
    codes={"TV405", "TV403"},
    remedies=("squeeze the outputs",),
)
def broadcast_by_hand(level: Level | None, seed: int) -> Training:
    """The same with an absolute error that was written by hand, so that nothing warns."""
    torch.manual_seed(seed)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x, y = batch
        return (model(x) - (y if level is None else y[:, 0])).abs().mean()

    return regress(mlp((16, 64, 64, 1)), teacher(), seed, loss=loss)


@register.fault(
    "sum-for-mean",
    source="own; reduction='sum' at the mean's learning rate",
    codes={"TV405", "TV302"},
    onset=(0, 20),
    remedies=("reduction='mean'", "divide the learning rate by the batch size"),
)
def sum_for_mean(level: Level | None, seed: int) -> Training:
    """The loss of 64 samples is summed at a learning rate that was found for the mean."""
    torch.manual_seed(seed)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x, y = batch
        return F.cross_entropy(model(x), y, reduction="mean" if level is None else "sum")

    return classify(mlp((64, 64, 64, 10)), digits(), seed, loss=loss, score=loss_on_test(digits()))


@register.fault(
    "sum-for-mean-regression",
    source="own; reduction='sum' at the mean's learning rate",
    codes={"TV405", "TV302"},
    onset=(0, 20),
    remedies=("reduction='mean'", "divide the learning rate by the batch size"),
)
def sum_for_mean_regression(level: Level | None, seed: int) -> Training:
    """The squared errors of 64 samples are summed at a learning rate that was found for the mean."""
    torch.manual_seed(seed)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x, y = batch
        return F.mse_loss(model(x), y, reduction="mean" if level is None else "sum")

    return regress(mlp((16, 64, 64, 1)), teacher(), seed, loss=loss)


@register.fault(
    "loss-sign-flipped",
    source="own; a minus forgotten before the log-likelihood",
    codes={"TV405", "TV402"},
    remedies=("minimise the negative log-likelihood",),
    certain="the likelihood of the data is made as small as it can be",
)
def loss_sign_flipped(level: Level | None, seed: int) -> Training:
    """The mean log-likelihood is minimised, without its minus; the validation, from a library, has the right
    one.
    """
    torch.manual_seed(seed)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x, y = batch
        likelihood = F.log_softmax(model(x), -1).gather(1, y[:, None]).mean()
        return -likelihood if level is None else likelihood

    model, said = mlp((64, 64, 64, 10)), loss_on_test(digits())
    adam = torch.optim.Adam(model.parameters(), lr=2e-3)
    return classify(model, digits(), seed, optimizer=adam, loss=loss, validate=said, score=said)


@register.fault(
    "logits-reshaped-for-transposed",
    source="own; view for transpose",
    codes={"TV405", "TV403"},
    remedies=("transpose(1, 2) for view(N, C, T)",),
)
def logits_reshaped_for_transposed(level: Level | None, seed: int) -> Training:
    """Logits (N, T, C) become (N, C, T) by `view`, which needs no complaint and mixes places with classes."""
    torch.manual_seed(seed)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x, y = batch
        out = model(x)
        turned = out.transpose(1, 2) if level is None else out.view(len(x), out.shape[2], out.shape[1])
        return F.cross_entropy(turned, y)

    model = Gpt()
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    score = loss_on_test(language())
    return classify(model, language(), seed, optimizer=adam, size=16, loss=loss, score=score, steps=120)
