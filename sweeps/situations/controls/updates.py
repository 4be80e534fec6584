"""Optimizers of one's own, and updates made at unusual places."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sweeps.situations.common import classify
from sweeps.situations.data import digits
from sweeps.situations.loops import every
from sweeps.situations.networks import Gpt, mlp
from sweeps.situations.recipes import speak
from sweeps.situations.situation import register
from sweeps.situations.training import Eyes, Training


class Lion(Optimizer):
    """Steps of the same size for each weight: the sign of a moving average."""

    def __init__(self, params: Iterable[Any], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                    p.sub_(group["lr"] * (0.9 * mean + 0.1 * p.grad).sign())
                    mean.lerp_(p.grad, 0.01)


class Muon(Optimizer):
    """Momentum whose matrices are made orthogonal by the iteration of Newton and Schulz."""

    def __init__(self, params: Iterable[Any], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    momentum = self.state[p].setdefault("momentum", torch.zeros_like(p))
                    momentum.mul_(0.9).add_(p.grad)
                    p.sub_(group["lr"] * max(1.0, p.shape[0] / p.shape[1]) ** 0.5 * _orthogonal(momentum))


def _orthogonal(matrix: Tensor) -> Tensor:
    x = matrix / (matrix.norm() + 1e-7)
    for _ in range(8):
        x = 1.5 * x - 0.5 * x @ x.T @ x
    return x


@register.control("lion", source="own")
def lion(seed: int) -> Training:
    """The digits MLP under Lion, an optimizer by hand."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 10))
    return classify(model, digits(), seed, optimizer=Lion(model.parameters(), lr=5e-4), steps=250)


@register.control("muon", source="own")
def muon(seed: int) -> Training:
    """A transformer whose inner matrices are under Muon, all else under Adam."""
    torch.manual_seed(seed)
    model = Gpt()
    inner = [p for name, p in model.named_parameters() if p.ndim == 2 and name.startswith("blocks")]
    others = [p for name, p in model.named_parameters() if p.ndim == 1 or not name.startswith("blocks")]
    training = speak(model, seed, optimizer=Muon(inner, lr=0.02), iterate=every)
    training.optimizers = (training.optimizer, torch.optim.Adam(others, lr=3e-3))
    return training


@register.control("step-in-backward", source="own")
def step_in_backward(seed: int) -> Training:
    """Each parameter has an optimizer that steps, and drops the gradient, within the backward pass."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 10))
    each = {p: torch.optim.SGD([p], lr=0.05, momentum=0.9) for p in model.parameters()}

    def hook(parameter: Tensor) -> None:
        each[parameter].step()  # pyright: ignore[reportArgumentType]
        each[parameter].zero_grad()  # pyright: ignore[reportArgumentType]

    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(hook)

    def iterate(training: Training, step: int, _eyes: Eyes) -> Tensor:
        loss = training.loss(training.model, training.batch(step))
        loss.backward()
        return loss

    training = classify(model, digits(), seed, iterate=iterate)
    training.optimizers = tuple(each.values())
    return training


@register.control("gradient-noise", source="own")
def gradient_noise(seed: int) -> Training:
    """Noise is added to the clipped gradient, as privacy asks for."""
    torch.manual_seed(seed)

    def iterate(training: Training, step: int, eyes: Eyes) -> Tensor:
        loss = training.loss(training.model, training.batch(step))
        training.optimizer.zero_grad()
        loss.backward()
        eyes.gradients_ready()
        nn.utils.clip_grad_norm_(training.model.parameters(), 1.0)
        for parameter in training.model.parameters():
            if parameter.grad is not None:
                parameter.grad.add_(torch.randn_like(parameter.grad), alpha=0.005)
        training.optimizer.step()
        return loss

    return classify(mlp((64, 64, 64, 10)), digits(), seed, lr=0.05, iterate=iterate)


@register.control("weights-clamped", source="own")
def weights_clamped(seed: int) -> Training:
    """Rows of weights are pulled back to a norm of at most 1.4 after each step."""
    torch.manual_seed(seed)

    def iterate(training: Training, step: int, eyes: Eyes) -> Tensor:
        loss = every(training, step, eyes)
        with torch.no_grad():
            for parameter in training.model.parameters():
                if parameter.ndim == 2:
                    parameter.copy_(torch.renorm(parameter, 2, 0, 1.4))
        return loss

    return classify(mlp((64, 64, 64, 10)), digits(), seed, lr=0.05, iterate=iterate)
