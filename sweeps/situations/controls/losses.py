"""Classification losses of many kinds: floors above 0, sums, margins, soft targets."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify
from sweeps.situations.data import Data, digits, split
from sweeps.situations.networks import mlp
from sweeps.situations.situation import register
from sweeps.situations.training import Training

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


class Cosine(nn.Module):
    """Cosines between features and class vectors, times a scale of 16: modules `features`, parameter
    `classes`.
    """

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
