"""Series and curves, as people train on them every day."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.blind.sets import waves
from sweeps.situations.common import loss_on_test, regress
from sweeps.situations.data import split
from sweeps.situations.networks import mlp
from sweeps.situations.situation import register
from sweeps.situations.training import Training


@register.control("next-value-gru", source="own")
def next_value_gru(seed: int) -> Training:
    """The next value of a wave by a GRU over 24 standardised ones."""
    torch.manual_seed(seed)
    model = Next()
    return regress(model, waves(), seed, optimizer=torch.optim.Adam(model.parameters(), lr=5e-3), size=32)


class Next(nn.Module):
    """Modules `gru`, `head`."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(1, 24, batch_first=True), nn.Linear(24, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.gru(x)[0][:, -1])


class Backcast(nn.Module):
    """Modules `blocks.<i>`: each explains a part of the past, and adds to the forecast."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(mlp((24, 48, 48, 25)) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        past, forecast = x[:, :, 0], torch.zeros(len(x), 1)
        for block in self.blocks:
            out = block(past)
            past, forecast = past - out[:, :24], forecast + out[:, 24:]
        return forecast


@register.control("next-value-backcast", source="own")
def next_value_backcast(seed: int) -> Training:
    """The same by blocks that each explain what the ones before left over, as in N-BEATS."""
    torch.manual_seed(seed)
    model = Backcast()
    adam = torch.optim.AdamW(model.parameters(), lr=2e-3)
    half = torch.optim.lr_scheduler.ExponentialLR(adam, 0.99)
    return regress(model, waves(), seed, optimizer=adam, scheduler=half)


class Mixture(nn.Module):
    """Modules `body`, `weights`, `means`, `widths`: four Gaussians for each input."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(mlp((1, 32, 32), act=nn.Tanh, init=None), nn.Tanh())
        self.weights, self.means, self.widths = (nn.Linear(32, 4) for _ in range(3))

    def forward(self, x: Tensor) -> torch.distributions.Distribution:
        h = self.body(x)
        parts = torch.distributions.Normal(self.means(h), F.softplus(self.widths(h)) + 0.02)
        return torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(logits=self.weights(h)), parts, validate_args=False
        )


@register.control("mixture-density", source="own")
def mixture_density(seed: int) -> Training:
    """A curve that has three values at some places, by a mixture of four Gaussians."""
    torch.manual_seed(seed)
    y = 2 * torch.rand(2000, 1, generator=torch.Generator().manual_seed(85)) - 1
    x = (
        y
        + 0.6 * (2 * math.pi * y).sin()
        + 0.05 * torch.randn(2000, 1, generator=torch.Generator().manual_seed(86))
    )
    data, model = split(2 * x, 2 * y), Mixture()

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return -model(batch[0]).log_prob(batch[1][:, 0]).mean()

    adam = torch.optim.Adam(model.parameters(), lr=0.01)
    return regress(
        model, data, seed, optimizer=adam, loss=loss, score=loss_on_test(data, loss), size=128, steps=300
    )
