"""Classification losses of many kinds: floors above 0, sums, margins, soft targets."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify, cross_entropy, loss_on_test
from sweeps.situations.data import Data, digits, images, split
from sweeps.situations.networks import Cnn, mlp
from sweeps.situations.situation import register
from sweeps.situations.training import Training, run

Loss = Callable[[nn.Module, Any], Tensor]


def _mlp(seed: int, loss: Loss, lr: float = 3e-3, **rest: Any) -> Training:
    """The digits MLP under Adam and a loss."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 10))
    adam = torch.optim.Adam(model.parameters(), lr=lr)
    return classify(model, digits(), seed, optimizer=adam, loss=loss, **rest)


@cache
def _prototypes(classes: int = 500) -> Data:
    """Noisy copies of 500 random directions in 64 dimensions."""
    draw = torch.Generator().manual_seed(12)
    y = torch.arange(classes).repeat(24)
    means = torch.randn(classes, 64, generator=draw)
    return split((means[y] + 0.5 * torch.randn(len(y), 64, generator=draw)) / 1.12, y)


@register.control("label-smoothing", source="H51")
def label_smoothing(seed: int) -> Training:
    """Smoothed labels of 500 classes, whose loss cannot fall below 0.94."""
    torch.manual_seed(seed)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return F.cross_entropy(model(batch[0]), batch[1], label_smoothing=0.1)

    model = mlp((64, 128, 500))
    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    return classify(model, _prototypes(), seed, optimizer=adam, loss=loss, size=128)


@register.control("class-weights", source="own")
def class_weights(seed: int) -> Training:
    """Weights of the classes that differ a little, as their shares in the data do."""
    weights = 1 / torch.bincount(digits().y).float()
    weights = weights / weights.mean()
    return _mlp(seed, lambda model, batch: F.cross_entropy(model(batch[0]), batch[1], weight=weights))


@register.control("sum-reduction", source="own")
def sum_reduction(seed: int) -> Training:
    """The loss is summed over 64 samples, and the learning rate is so much smaller."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 10))
    sgd = torch.optim.SGD(model.parameters(), lr=0.05 / 64, momentum=0.9)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return F.cross_entropy(model(batch[0]), batch[1], reduction="sum")

    return classify(model, digits(), seed, optimizer=sgd, loss=loss)


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


@register.control("one-hot-mse", source="own")
def one_hot_mse(seed: int) -> Training:
    """The squared error between linear outputs and one-hot labels, which is a sound rule, too."""
    return _mlp(seed, lambda model, batch: F.mse_loss(model(batch[0]), F.one_hot(batch[1], 10).float()))


@register.control("hinge", source="own")
def hinge(seed: int) -> Training:
    """A margin loss, which is exactly 0, and so is its gradient, once all samples are beyond the margin."""
    return _mlp(seed, lambda model, batch: F.multi_margin_loss(model(batch[0]), batch[1]))


@register.control("focal", source="own")
def focal(seed: int) -> Training:
    """The focal loss, which makes the gradients of what is known already tiny."""

    def loss(model: nn.Module, batch: Any) -> Tensor:
        each = F.cross_entropy(model(batch[0]), batch[1], reduction="none")
        return ((1 - (-each).exp()) ** 2 * each).mean()

    return _mlp(seed, loss)


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
        each = F.cross_entropy(logits, y, reduction="none"), F.cross_entropy(logits, y.flip(0), reduction="none")
        return (share * each[0] + (1 - share) * each[1]).mean()

    return _mlp(seed, loss, score=loss_on_test(data), steps=300)


class Cosine(nn.Module):
    """Cosines between features and class vectors, times a scale of 16: modules `features`, parameter `classes`."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.classes = mlp((64, 64, 32)), nn.Parameter(torch.randn(10, 32))

    def forward(self, x: Tensor) -> Tensor:
        return 16 * F.normalize(self.features(x)) @ F.normalize(self.classes).T


@register.control("cosine-head", source="own")
def cosine_head(seed: int) -> Training:
    """A head of cosines with a scale, as in face recognition; its first loss is a good deal above ln 10."""
    torch.manual_seed(seed)
    model = Cosine()
    return classify(model, digits(), seed, optimizer=torch.optim.Adam(model.parameters(), lr=3e-3))


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
