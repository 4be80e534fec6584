"""Targets that are soft, mixed, told by another model, or many at once."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify, cross_entropy, loss_on_test
from sweeps.situations.data import Data, digits, images
from sweeps.situations.networks import Cnn, mlp
from sweeps.situations.situation import register
from sweeps.situations.training import Training, run


def _mlp(seed: int, loss: Callable[[nn.Module, Any], Tensor], **rest: Any) -> Training:
    """The digits MLP under Adam and a loss."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 10))
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return classify(model, digits(), seed, optimizer=adam, loss=loss, **rest)


@register.control("multi-label", source="own")
def multi_label(seed: int) -> Training:
    """Five questions of yes or no about each digit, by binary cross-entropy on logits."""
    torch.manual_seed(seed)
    data, model = digits(), mlp((64, 64, 5))

    def answers(y: Tensor) -> Tensor:
        return torch.stack([y % 2 == 0, y > 4, y % 3 == 0, (y - 4).abs() < 2, y == 7], 1).float()

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return F.binary_cross_entropy_with_logits(model(batch[0]), answers(batch[1]))

    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return classify(model, data, seed, optimizer=adam, loss=loss, score=loss_on_test(data, loss), steps=300)


@register.control("mixup", source="own")
def mixup(seed: int) -> Training:
    """Mixed inputs and labels: the loss of the training stays high, that of the test does not."""
    data = digits()

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x, y = batch
        if not model.training:
            return cross_entropy(model, batch)
        share = torch.linspace(0.05, 0.95, len(x))
        logits = model(share[:, None] * x + (1 - share[:, None]) * x.flip(0))
        each = (
            F.cross_entropy(logits, y, reduction="none"),
            F.cross_entropy(logits, y.flip(0), reduction="none"),
        )
        return (share * each[0] + (1 - share) * each[1]).mean()

    return _mlp(seed, loss, score=loss_on_test(data), steps=300)


@register.control("distillation", source="H52")
def distillation(seed: int) -> Training:
    """A small net learns the outputs of a large one at a temperature of 10: gradients are a hundredth."""
    torch.manual_seed(seed)
    large = classify(mlp((64, 128, 10)), digits(), seed + 100, lr=0.05, steps=150)
    run(large)
    wise = large.model.eval().requires_grad_(False)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        soft = (wise(batch[0]) / 10).softmax(-1)
        return F.kl_div((model(batch[0]) / 10).log_softmax(-1), soft, reduction="batchmean")

    return _mlp(seed, loss)


@register.control("segmentation", source="own")
def segmentation(seed: int) -> Training:
    """Each pixel of a blurred digit is ink or is not: binary cross-entropy and the Dice loss together."""
    torch.manual_seed(seed)
    base = images()

    def pair(x: Tensor) -> tuple[Tensor, Tensor]:
        draw = torch.Generator().manual_seed(len(x))
        ink = (x > 0.5).float()
        return F.avg_pool2d(x, 3, 1, 1) + 0.2 * torch.randn(x.shape, generator=draw), ink

    data = Data(*pair(base.x), *pair(base.x_test))
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
        nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
        nn.Conv2d(16, 1, 1),
    )

    def loss(model: nn.Module, batch: Any) -> Tensor:
        logits, ink = model(batch[0]), batch[1]
        p = logits.sigmoid()
        dice = 1 - 2 * (p * ink).sum() / (p.sum() + ink.sum())
        return F.binary_cross_entropy_with_logits(logits, ink) + dice

    adam = torch.optim.Adam(model.parameters(), lr=1e-2)
    score = loss_on_test(data, loss)
    return classify(model, data, seed, optimizer=adam, loss=loss, score=score, size=32)


@register.control("deep-supervision", source="own")
def deep_supervision(seed: int) -> Training:
    """Exits after each of three stages, whose losses are added with small weights."""
    torch.manual_seed(seed)
    stages = nn.ModuleList(nn.Sequential(nn.Linear(64, 64), nn.ReLU()) for _ in range(3))
    exits = nn.ModuleList(nn.Linear(64, 10) for _ in range(3))

    class Exits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stages, self.exits = stages, exits

        def all(self, x: Tensor) -> list[Tensor]:
            said = []
            for stage, leave in zip(self.stages, self.exits, strict=True):
                x = stage(x)
                said.append(leave(x))
            return said

        def forward(self, x: Tensor) -> Tensor:
            return self.all(x)[-1]

    model = Exits()

    def loss(_model: nn.Module, batch: Any) -> Tensor:
        early, middle, last = (F.cross_entropy(out, batch[1]) for out in model.all(batch[0]))
        return last + 0.3 * middle + 0.1 * early

    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return classify(model, digits(), seed, optimizer=adam, loss=loss)


@register.control("cnn-binary-one-output", source="own")
def cnn_binary_one_output(seed: int) -> Training:
    """Odd or even by one logit and binary cross-entropy."""
    torch.manual_seed(seed)
    data, model = images(), Cnn(classes=1, norm=True)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return F.binary_cross_entropy_with_logits(model(batch[0])[:, 0], (batch[1] % 2).float())

    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    return classify(model, data, seed, optimizer=adam, loss=loss, score=loss_on_test(data, loss))
