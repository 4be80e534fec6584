"""Losses of regressions and of distances: likelihoods that go below 0, quantiles, pairs and triples."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify, loss_on_test, regress
from sweeps.situations.data import Data, diabetes, digits, split, teacher
from sweeps.situations.networks import mlp
from sweeps.situations.situation import register
from sweeps.situations.training import Training

Loss = Callable[[nn.Module, Any], Tensor]


def _fit(seed: int, data: Data, loss: Loss, outputs: int = 1, **rest: Any) -> Training:
    """An MLP of two ReLU layers under Adam."""
    torch.manual_seed(seed)
    model = mlp((data.x.shape[1], 64, 64, outputs))
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    score = loss_on_test(data, loss)
    return regress(model, data, seed, optimizer=adam, loss=loss, score=score, **{"steps": 300, **rest})


@register.control("poisson", source="own")
def poisson(seed: int) -> Training:
    """Counts by their likelihood, the output being the logarithm of the rate."""
    base = teacher()
    rates = ((base.y / 2 + 1).exp(), (base.y_test / 2 + 1).exp())
    draw = torch.Generator().manual_seed(13)
    y, y_test = (torch.poisson(rate, generator=draw) for rate in rates)
    data = Data(base.x, y, base.x_test, y_test)
    return _fit(seed, data, lambda model, batch: F.poisson_nll_loss(model(batch[0]), batch[1]))


@register.control("gaussian-likelihood", source="H37")
def gaussian_likelihood(seed: int) -> Training:
    """Mean and variance by their likelihood, where the noise grows with an input; the loss goes below 0."""
    draw = torch.Generator().manual_seed(14)
    x = torch.randn(2048, 4, generator=draw)
    noise = 0.03 + 0.2 * x[:, :1].abs()
    data = split(x, x[:, 1:2].sin() + noise * torch.randn(2048, 1, generator=draw))

    def loss(model: nn.Module, batch: Any) -> Tensor:
        mean, variance = model(batch[0]).chunk(2, -1)
        return F.gaussian_nll_loss(mean, batch[1], F.softplus(variance) + 1e-4)

    return _fit(seed, data, loss, outputs=2)


@register.control("heavy-tailed-targets", source="own")
def heavy_tailed_targets(seed: int) -> Training:
    """Targets with outliers of many times their spread, by Huber's loss."""
    base = teacher()
    draw = torch.Generator().manual_seed(15)
    noise = 0.2 * torch.randn(len(base.y), 1, generator=draw) / torch.rand(len(base.y), 1, generator=draw)
    data = Data(base.x, base.y + noise, base.x_test, base.y_test)
    return _fit(seed, data, lambda model, batch: F.huber_loss(model(batch[0]), batch[1]), size=128)


@register.control("quantiles", source="own")
def quantiles(seed: int) -> Training:
    """Three quantiles at once by the pinball loss."""
    at = torch.tensor([0.1, 0.5, 0.9])

    def loss(model: nn.Module, batch: Any) -> Tensor:
        over = batch[1] - model(batch[0])
        return torch.maximum(at * over, (at - 1) * over).mean()

    return _fit(seed, teacher(), loss, outputs=3)


@register.control("many-outputs", source="own")
def many_outputs(seed: int) -> Training:
    """Eight targets at once, by the mean absolute error."""
    return _fit(
        seed, teacher(outputs=8), lambda model, batch: F.l1_loss(model(batch[0]), batch[1]), outputs=8
    )


@register.control("tiny-loss", source="own")
def tiny_loss(seed: int) -> Training:
    """Targets of a hundredth, whose squared error is tiny from the start, under a method that
    does not mind.
    """
    base = teacher()
    data = Data(base.x, base.y / 100, base.x_test, base.y_test / 100)
    torch.manual_seed(seed)
    model = mlp((16, 64, 64, 1))
    for parameter in model.get_submodule("head").parameters():
        nn.init.zeros_(parameter)
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    return regress(model, data, seed, optimizer=adam, steps=400)


@register.control("small-tabular", source="own")
def small_tabular(seed: int) -> Training:
    """309 patients, dropout and weight decay against learning them by heart."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 1))
    adam = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    return regress(model, diabetes(), seed, optimizer=adam, size=32, steps=200)


def _pairs(model: nn.Module, batch: Any) -> Tensor:
    """Distances between a half of the batch and the other, and whether they are of one class."""
    first, second = (model(part) for part in batch[0].chunk(2))
    same = torch.eq(*batch[1].chunk(2)).float()
    apart = F.pairwise_distance(first, second)
    return (same * apart**2 + 4 * (1 - same) * F.relu(1 - apart) ** 2).mean()


@register.control("siamese", source="H57")
def siamese(seed: int) -> Training:
    """One net sees both images of a pair; the contrastive loss pulls those of one class together."""
    torch.manual_seed(seed)
    data, model = _paired(digits(), seed), mlp((64, 64, 8))
    adam = torch.optim.Adam(model.parameters(), lr=2e-3)
    score = loss_on_test(data, _pairs)
    training = classify(model, data, seed, optimizer=adam, loss=_pairs, score=score, steps=300)
    training.batch = lambda step: _couples(data, 64, 1_000_003 * seed + step)
    return training


def _couples(data: Data, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """`size` rows and as many partners, half of them of the same class."""
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randint(0, len(data.x), (size,), generator=draw)
    score = torch.rand(size, len(data.x), generator=draw)
    score[: size // 2] += (data.y[rows[: size // 2], None] == data.y).float()
    both = torch.cat([rows, score.argmax(1)])
    return data.x[both], data.y[both]


def _paired(data: Data, seed: int) -> Data:
    """The same with a test set of couples."""
    test = Data(data.x_test, data.y_test, data.x_test, data.y_test)
    return Data(data.x, data.y, *_couples(test, 256, seed))


@register.control("triplets", source="own")
def triplets(seed: int) -> Training:
    """Anchor, partner and stranger: the triplet loss, 0 for ever more of them."""
    torch.manual_seed(seed)
    data, model = _paired(digits(), seed), mlp((64, 64, 16))

    def loss(model: nn.Module, batch: Any) -> Tensor:
        half = len(batch[0]) // 4
        anchor, other = model(batch[0]).chunk(2)
        return F.triplet_margin_loss(anchor[:half], other[:half], other[half:], margin=1.0)

    adam = torch.optim.Adam(model.parameters(), lr=2e-3)
    score = loss_on_test(data, loss)
    training = classify(model, data, seed, optimizer=adam, loss=loss, score=score, steps=300)
    training.batch = lambda step: _couples(data, 64, 1_000_003 * seed + step)
    return training
