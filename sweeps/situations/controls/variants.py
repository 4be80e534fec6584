"""Retrainings of good set-ups with settings a little beside the best: as healthy as they were."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from sweeps.situations.common import classify
from sweeps.situations.data import Data, digits, images, language
from sweeps.situations.networks import Cnn, Gpt, mlp
from sweeps.situations.recipes import speak
from sweeps.situations.residual import ResNet
from sweeps.situations.situation import register
from sweeps.situations.training import Training

_sgd = partial(torch.optim.SGD, momentum=0.9)


@dataclass(frozen=True)
class Base:
    """A good set-up."""

    name: str
    words: str
    model: Callable[[], nn.Module]
    data: Callable[[], Data]
    lr: float
    size: int
    make: Callable[..., Training] = classify
    optimizer: Callable[..., torch.optim.Optimizer] = _sgd


@dataclass(frozen=True)
class Variant:
    """What is other than in the base."""

    name: str
    words: str
    lr: float = 1.0
    size: float = 1.0
    warmup: int = 0


BASES = (
    Base("mlp", "The digits MLP", lambda: mlp((64, 64, 64, 10)), digits, 0.05, 64),
    Base("cnn", "The small CNN", Cnn, images, 5e-3, 64, optimizer=torch.optim.Adam),
    Base("resnet", "The small ResNet", ResNet, images, 0.1, 64),
    Base("gpt", "The small transformer", Gpt, lambda: language(length=16), 3e-3, 16, speak, torch.optim.Adam),
)
VARIANTS = (
    Variant("lower-lr", "at 0.6 of its learning rate", lr=0.6),
    Variant("higher-lr", "at 1.4 of its learning rate", lr=1.4),
    Variant("half-batch", "with half of its batch", size=0.5),
    Variant("double-batch", "with twice its batch", size=2.0),
    Variant("brief-warm-up", "with a warm-up over a tenth of its training", warmup=20),
)


def _builder(base: Base, variant: Variant) -> Callable[[int], Training]:
    def build(seed: int) -> Training:
        torch.manual_seed(seed)
        model, lr, size = base.model(), base.lr * variant.lr, int(base.size * variant.size)
        optimizer = base.optimizer(model.parameters(), lr=lr)
        warmup = LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / (variant.warmup + 1)))
        return base.make(model, data=base.data(), seed=seed, optimizer=optimizer, size=size, scheduler=warmup)

    build.__doc__ = f"{base.words} {variant.words}."
    return build


for _base, _variant in product(BASES, VARIANTS):
    register.control(f"{_base.name}-{_variant.name}", source="H65")(_builder(_base, _variant))
