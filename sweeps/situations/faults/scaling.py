"""Loops with a `GradScaler` that is wired wrongly, or that something upstream wears out."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify, regress
from sweeps.situations.data import digits, teacher
from sweeps.situations.networks import mlp
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Eyes, Training


def scaled(*, scales: bool = True, unscales: bool = True) -> Callable[[Training, int, Eyes], Tensor]:
    """The loop of the documentation, with the gradient norm clipped to 1, and what may be forgotten in it."""

    def iterate(training: Training, step: int, eyes: Eyes) -> Tensor:
        assert training.scaler is not None
        loss = training.loss(training.model, training.batch(step))
        training.optimizer.zero_grad()
        raised = training.scaler.scale(loss)
        (raised if scales else loss).backward()
        if unscales:
            training.scaler.unscale_(training.optimizer)
        eyes.gradients_ready()
        nn.utils.clip_grad_norm_(training.model.parameters(), 1.0)
        training.scaler.step(training.optimizer)
        training.scaler.update()
        return loss

    return iterate


def scaler() -> torch.amp.GradScaler:
    return torch.amp.GradScaler("cpu")


@register.fault(
    "scaler-unscales-plain-loss",
    source="F77",
    codes={"TV303"},
    onset=(0, 60),
    remedies=("scaler.scale(loss).backward()",),
)
def scaler_unscales_plain_loss(level: Level | None, seed: int) -> Training:
    """`backward` is called on the loss, not on what `scaler.scale` gave back: `scaler.step` divides gradients
    by a scale they never had.
    """
    torch.manual_seed(seed)
    loop = scaled(scales=level is None)
    return classify(mlp((64, 64, 64, 10)), digits(), seed, iterate=loop, scaler=scaler())


@register.fault(
    "clip-before-unscale",
    source="F77",
    codes={"TV207", "TV303"},
    onset=(0, 60),
    remedies=("scaler.unscale_(optimizer) before clipping",),
)
def clip_before_unscale(level: Level | None, seed: int) -> Training:
    """Gradients are clipped while still scaled by 65,536, and divided by it afterwards."""
    torch.manual_seed(seed)
    loop = scaled(unscales=level is None)
    return classify(mlp((64, 64, 64, 10)), digits(), seed, iterate=loop, scaler=scaler())


class Root(nn.Module):
    """Root of the positive part: where that is 0, the slope is infinite, and times 0 it is no number."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return torch.sqrt(x * (x > 0) + self.eps)


@register.fault(
    "scale-collapses",
    source="F89",
    codes={"TV205", "TV203"},
    where=("hidden*", ""),
    onset=(0, 40),
    remedies=("sqrt(x + eps)",),
    certain="a step that is skipped changes nothing",
)
def scale_collapses(level: Level | None, seed: int) -> Training:
    """An infinite slope makes every gradient non-finite: the scaler skips every step and halves its scale
    below 1, as if that could help.
    """
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 10), act=lambda: Root(0.0 if level else 1e-2))
    return classify(model, digits(), seed, iterate=scaled(), scaler=scaler())


@register.fault(
    "scale-grows-each-step", source="own", codes={"TV205"}, onset=(0, 60), remedies=("growth_interval=2000",)
)
def scale_grows_each_step(level: Level | None, seed: int) -> Training:
    """The scale grows after each step by 1,000 instead of by 2 now and then: it overflows again and again,
    and most steps are skipped.
    """
    torch.manual_seed(seed)
    model = mlp((16, 64, 64, 1))

    def loss(net: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        with torch.autocast("cpu", torch.float16):
            out = net(batch[0])
        return F.mse_loss(out.float(), batch[1])

    greedy = torch.amp.GradScaler("cpu", growth_interval=1, growth_factor=1000.0)
    chosen = scaler() if level is None else greedy
    return regress(model, teacher(), seed, loss=loss, iterate=scaled(), scaler=chosen)
