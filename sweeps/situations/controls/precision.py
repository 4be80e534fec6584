"""Number formats, scaled losses, and ways to hold and to run a model that do not change what it learns."""

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from sweeps.situations.common import classify, cross_entropy, error_rate, regress
from sweeps.situations.data import Data, digits, images, language, teacher
from sweeps.situations.networks import Gpt, mlp
from sweeps.situations.recipes import speak
from sweeps.situations.residual import ResNet
from sweeps.situations.situation import register
from sweeps.situations.training import Eyes, Training

Loss = Callable[[nn.Module, Any], Tensor]


def _autocast(dtype: torch.dtype, inner: Loss = cross_entropy) -> Loss:
    def loss(model: nn.Module, batch: Any) -> Tensor:
        with torch.autocast("cpu", dtype=dtype):
            return inner(model, batch)

    return loss


def _scaled(limit: float | None = None) -> Callable[[Training, int, Eyes], Tensor]:
    """The loop of the documentation for a GradScaler, clipped after unscaling where there is a limit."""

    def iterate(training: Training, step: int, eyes: Eyes) -> Tensor:
        scaler = training.scaler
        assert scaler is not None
        loss = training.loss(training.model, training.batch(step))
        training.optimizer.zero_grad()
        scaler.scale(loss).backward()
        if limit is not None:
            scaler.unscale_(training.optimizer)
            eyes.gradients_ready()
            nn.utils.clip_grad_norm_(training.model.parameters(), limit)
        scaler.step(training.optimizer)
        scaler.update()
        return loss

    return iterate


@register.control("bf16-autocast", source="H57")
def bf16_autocast(seed: int) -> Training:
    """Matrix products in bfloat16, weights in 32 bits."""
    torch.manual_seed(seed)
    return classify(mlp((64, 64, 64, 10)), digits(), seed, lr=0.05, loss=_autocast(torch.bfloat16))


@register.control("bf16-autocast-gpt", source="H57")
def bf16_autocast_gpt(seed: int) -> Training:
    """A transformer under autocast to bfloat16."""
    torch.manual_seed(seed)
    return speak(Gpt(depth=1), seed, data=language(length=16), loss=_autocast(torch.bfloat16))


def _fp16(seed: int, scaler: torch.amp.GradScaler, limit: float | None = None) -> Training:
    """The digits MLP under autocast to 16 bits, with Adam."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 10))
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return classify(
        model,
        digits(),
        seed,
        optimizer=adam,
        loss=_autocast(torch.float16),
        iterate=_scaled(limit),
        scaler=scaler,
        steps=250,
    )


@register.control("fp16-first-steps-skipped", source="H06")
def fp16_first_steps_skipped(seed: int) -> Training:
    """A loss scale that begins far too high, as is usual: it halves at some skipped steps until it fits."""
    return _fp16(seed, torch.amp.GradScaler("cpu", init_scale=2.0**26))


@register.control("fp16-scale-grows", source="H07")
def fp16_scale_grows(seed: int) -> Training:
    """The scale doubles after 25 good steps, until one is skipped: again and again, as it is meant."""
    return _fp16(seed, torch.amp.GradScaler("cpu", init_scale=2.0**18, growth_interval=25))


@register.control("fp16-clipped", source="own")
def fp16_clipped(seed: int) -> Training:
    """Gradients are unscaled, looked at, clipped, and given to the scaler."""
    return _fp16(seed, torch.amp.GradScaler("cpu", init_scale=2.0**16), limit=1.0)


@register.control("float64", source="own")
def float64(seed: int) -> Training:
    """All in 64 bits."""
    torch.manual_seed(seed)
    base = teacher()
    data = Data(base.x.double(), base.y.double(), base.x_test.double(), base.y_test.double())
    model = mlp((16, 64, 1), act=nn.Tanh, init=nn.init.xavier_normal_).double()
    return regress(model, data, seed, lr=0.05, steps=300)


@register.control("bf16-with-master-weights", source="own")
def bf16_with_master_weights(seed: int) -> Training:
    """The model is in bfloat16; the optimizer holds a copy of the weights in 32 bits and writes them back."""
    torch.manual_seed(seed)
    master = mlp((64, 64, 64, 10))
    model = copy.deepcopy(master).bfloat16()
    base = digits()
    data = Data(base.x.bfloat16(), base.y, base.x_test.bfloat16(), base.y_test)

    def iterate(training: Training, step: int, _eyes: Eyes) -> Tensor:
        x, y = training.batch(step)
        loss = F.cross_entropy(training.model(x).float(), y)
        training.model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for low, high in zip(model.parameters(), master.parameters(), strict=True):
                high.grad = None if low.grad is None else low.grad.float()
            training.optimizer.step()
            for low, high in zip(model.parameters(), master.parameters(), strict=True):
                low.copy_(high)
        return loss

    sgd = torch.optim.SGD(master.parameters(), lr=0.05, momentum=0.9)
    return classify(model, data, seed, optimizer=sgd, iterate=iterate, score=error_rate(data))


class Flat(nn.Module):
    """All weights of a model in one vector, as sharding makes of them: parameter `flat`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        named = {name: p.detach() for name, p in model.named_parameters()}
        self.flat = nn.Parameter(torch.cat([p.flatten() for p in named.values()]))
        self._shapes = {name: p.shape for name, p in named.items()}
        self._bare = [model.to("meta")]

    def forward(self, x: Tensor) -> Tensor:
        sizes = [math.prod(shape) for shape in self._shapes.values()]
        parts = zip(self._shapes.items(), self.flat.split(sizes), strict=True)
        return functional_call(self._bare[0], {name: p.view(shape) for (name, shape), p in parts}, (x,))


@register.control("flat-parameter", source="H46")
def flat_parameter(seed: int) -> Training:
    """One vector holds all weights of the net, which is called with views of it."""
    torch.manual_seed(seed)
    model = Flat(mlp((64, 64, 64, 10)))
    return classify(model, digits(), seed, optimizer=torch.optim.Adam(model.parameters(), lr=3e-3))


@register.control("compiled", source="H46")
def compiled(seed: int) -> Training:
    """`torch.compile` around the model, with the backend that only traces."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 10))
    traced: Any = torch.compile(model, backend="eager")
    return classify(traced, digits(), seed, lr=0.05)


class Thrifty(nn.Module):
    """Runs the blocks of a transformer again in the backward pass: module `gpt`."""

    def __init__(self) -> None:
        super().__init__()
        self.gpt = Gpt()

    def forward(self, tokens: Tensor) -> Tensor:
        gpt = self.gpt
        x = gpt.tokens(tokens) + gpt.positions(torch.arange(tokens.shape[1]))
        for block in gpt.blocks:
            x = checkpoint(block, x, use_reentrant=False)
        return gpt.head(gpt.norm(x))


@register.control("activation-checkpointing", source="own")
def activation_checkpointing(seed: int) -> Training:
    """The blocks are run a second time during the backward pass to save memory."""
    torch.manual_seed(seed)
    return speak(Thrifty(), seed, data=language(length=16))


@register.control("channels-last", source="own")
def channels_last(seed: int) -> Training:
    """Another layout in memory of the images and weights of a ResNet."""
    torch.manual_seed(seed)
    model: Any = ResNet(depth=2)
    model.to(memory_format=torch.channels_last)
    return classify(model, images(), seed, lr=0.1)
