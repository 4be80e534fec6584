"""Optimizers of all kinds, and what some do with weights and gradients on the way."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify, cross_entropy, loss_on_test, regress
from sweeps.situations.data import Data, cancer, digits, teacher
from sweeps.situations.loops import accumulated
from sweeps.situations.networks import Gpt, mlp
from sweeps.situations.recipes import speak
from sweeps.situations.situation import register
from sweeps.situations.training import Eyes, Training


def _library(name: str, make: Any, words: str) -> None:
    def build(seed: int) -> Training:
        torch.manual_seed(seed)
        model = mlp((64, 64, 64, 10))
        return classify(model, digits(), seed, optimizer=make(model.parameters()))

    build.__doc__ = f"The digits MLP under {words}."
    register.control(name, source="own")(build)


_library("sgd-plain", lambda p: torch.optim.SGD(p, lr=0.3), "SGD without momentum, at a high rate")
_library(
    "sgd-nesterov", lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True), "Nesterov's momentum"
)
_library("rmsprop", lambda p: torch.optim.RMSprop(p, lr=2e-3), "RMSprop")
_library("adagrad", lambda p: torch.optim.Adagrad(p, lr=2e-2), "Adagrad, whose steps become ever smaller")
_library("nadam", lambda p: torch.optim.NAdam(p, lr=2e-3), "NAdam")
_library("radam", lambda p: torch.optim.RAdam(p, lr=5e-3), "RAdam, whose first steps are plain momentum")
_library("amsgrad", lambda p: torch.optim.Adam(p, lr=3e-3, amsgrad=True), "Adam with AMSGrad")
_library("adam-fused", lambda p: torch.optim.Adam(p, lr=3e-3, fused=True), "fused Adam")
_library("adamw-foreach", lambda p: torch.optim.AdamW(p, lr=3e-3, foreach=True), "AdamW by groups of tensors")
_library("adam-low-beta", lambda p: torch.optim.Adam(p, lr=1e-3, betas=(0.0, 0.9)), "Adam without momentum")
_library(
    "adamw-strong-decay",
    lambda p: torch.optim.AdamW(p, lr=3e-3, weight_decay=0.3),
    "AdamW with a weight decay of 0.3, which is decoupled and harmless",
)


@register.control("adam-tiny-epsilon", source="H60")
def adam_tiny_epsilon(seed: int) -> Training:
    """Targets of 1e-5, and so gradients far below that, under Adam with an epsilon of 1e-15."""
    torch.manual_seed(seed)
    base = teacher()
    data = Data(base.x, base.y * 1e-5, base.x_test, base.y_test * 1e-5)
    model = mlp((16, 64, 64, 1))
    with torch.no_grad():
        for parameter in model.get_submodule("head").parameters():
            parameter.mul_(1e-5)
    groups = [
        {"params": model.get_submodule("hidden").parameters()},
        {"params": model.get_submodule("head").parameters(), "lr": 3e-8},
    ]
    adam = torch.optim.Adam(groups, lr=3e-3, eps=1e-15)
    return regress(model, data, seed, optimizer=adam, steps=300)


@register.control("gradient-accumulation", source="own")
def gradient_accumulation(seed: int) -> Training:
    """Four micro-batches for each step of the optimizer."""
    torch.manual_seed(seed)
    return classify(
        mlp((64, 64, 64, 10)), digits(), seed, lr=0.05, size=16, steps=480, iterate=accumulated(4)
    )


@register.control("accumulation-with-clipping", source="own")
def accumulation_with_clipping(seed: int) -> Training:
    """A transformer with two micro-batches for each step, clipped before it."""
    torch.manual_seed(seed)
    model = Gpt()
    adam = torch.optim.AdamW(model.parameters(), lr=4e-3)
    return speak(model, seed, optimizer=adam, size=8, steps=300, iterate=accumulated(2, limit=1.0))


@register.control("lbfgs-full-batch", source="H44")
def lbfgs_full_batch(seed: int) -> Training:
    """A small net on all of 399 rows under LBFGS with a line search."""
    torch.manual_seed(seed)
    data, model = cancer(), mlp((30, 8, 2), act=nn.Tanh, init=nn.init.xavier_normal_)
    lbfgs = torch.optim.LBFGS(model.parameters(), lr=0.3, max_iter=3, line_search_fn="strong_wolfe")

    def iterate(training: Training, _step: int, _eyes: Eyes) -> Tensor:
        def closure() -> Tensor:
            lbfgs.zero_grad()
            weights = torch.stack([p.square().sum() for p in training.model.parameters()]).sum()
            loss = cross_entropy(training.model, (data.x, data.y)) + 1e-3 * weights
            loss.backward()
            return loss

        return torch.as_tensor(lbfgs.step(closure))

    return classify(model, data, seed, optimizer=lbfgs, iterate=iterate, steps=100)


@register.control("edge-of-stability", source="H27")
def edge_of_stability(seed: int) -> Training:
    """Gradient descent on all of 300 digits at a rate at which the loss goes up and down and yet falls."""
    torch.manual_seed(seed)
    base = digits()
    x, y = base.x[:300], F.one_hot(base.y[:300], 10).float()
    data = Data(x, y, base.x_test, F.one_hot(base.y_test, 10).float())
    model = mlp((64, 64, 64, 10), act=nn.Tanh, init=nn.init.xavier_normal_)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return 5 * F.mse_loss(model(batch[0]), batch[1])

    sgd = torch.optim.SGD(model.parameters(), lr=0.6)
    score = loss_on_test(data, loss)
    training = regress(model, data, seed, optimizer=sgd, loss=loss, score=score, steps=500)
    training.batch = lambda _step: (x, y)
    return training


@register.control("optimizer-per-epoch", source="own")
def optimizer_per_epoch(seed: int) -> Training:
    """A loop that makes Adam anew at the start of each epoch of 25 steps, as notebooks do."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 10))
    optimizers = [torch.optim.Adam(model.parameters(), lr=2e-3)]

    def iterate(training: Training, step: int, _eyes: Eyes) -> Tensor:
        if step and step % 25 == 0:
            optimizers[0] = torch.optim.Adam(model.parameters(), lr=2e-3)
        loss = training.loss(training.model, training.batch(step))
        optimizers[0].zero_grad()
        loss.backward()
        optimizers[0].step()
        return loss

    return classify(model, digits(), seed, optimizer=optimizers[0], iterate=iterate)


@register.control("adam-large-epsilon-and-rate", source="own")
def adam_large_epsilon_and_rate(seed: int) -> Training:
    """Adam with an eps of 1 and a rate that makes up for it, as was usual for Inception networks."""
    torch.manual_seed(seed)
    model = Gpt()
    return speak(model, seed, optimizer=torch.optim.Adam(model.parameters(), lr=0.5, eps=1.0))


@register.control("heavy-momentum", source="own")
def heavy_momentum(seed: int) -> Training:
    """SGD with a momentum of 0.98 at a rate that is made for it."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.98)
    return classify(model, digits(), seed, optimizer=optimizer)
