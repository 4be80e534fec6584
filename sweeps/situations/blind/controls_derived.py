"""Views without labels, an equation in place of data, and graphs."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify, loss_on_test, regress
from sweeps.situations.data import digits, split
from sweeps.situations.networks import mlp
from sweeps.situations.situation import register
from sweeps.situations.training import Training


@register.control("views-decorrelated", source="own")
def views_decorrelated(seed: int) -> Training:
    """Barlow twins: the correlations between two noisy views are to be those of the identity."""
    torch.manual_seed(seed)
    data, model = digits(), mlp((64, 96, 16), norm=nn.BatchNorm1d)

    def loss(model: nn.Module, batch: Any, draw: torch.Generator | None = None) -> Tensor:
        x = batch[0]
        one, two = (model(x + 0.7 * torch.randn(x.shape, generator=draw)) for _ in range(2))
        one, two = ((z - z.mean(0)) / (z.std(0) + 1e-5) for z in (one, two))
        shared = one.T @ two / len(one)
        own = shared.diagonal()
        return ((own - 1) ** 2).sum() + 0.02 * ((shared**2).sum() - (own**2).sum())

    def score(model: nn.Module) -> float:
        return loss(model, (data.x_test,), torch.Generator().manual_seed(97)).item()

    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return classify(model, data, seed, optimizer=adam, loss=loss, score=score, size=128, steps=300)


@register.control("pendulum-by-its-equation", source="own")
def pendulum_by_its_equation(seed: int) -> Training:
    """A net whose second derivative has to obey the equation of a damped swing, so that gradients are of
    gradients.
    """
    torch.manual_seed(seed)
    model = mlp((1, 32, 32, 1), act=nn.Tanh, init=nn.init.xavier_normal_)
    time = 4 * torch.rand(2000, 1, generator=torch.Generator().manual_seed(95))
    data = split(time, (-0.2 * time).exp() * ((1 - 0.04) ** 0.5 * 2**0.5 * time).cos())

    def loss(model: nn.Module, batch: Any) -> Tensor:
        t = batch[0].clone().requires_grad_()
        x = model(t)
        speed = torch.autograd.grad(x.sum(), t, create_graph=True)[0]
        force = torch.autograd.grad(speed.sum(), t, create_graph=True)[0]
        begin = torch.zeros(1, 1, requires_grad=True)
        first = model(begin)
        push = torch.autograd.grad(first.sum(), begin, create_graph=True)[0]
        start = (first - 1).square().mean() + (push + 0.2).square().mean()
        return (force + 0.4 * speed + 2 * 0.98 * x).square().mean() + 5 * start

    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    return regress(model, data, seed, optimizer=adam, loss=loss, steps=400, score=loss_on_test(data, _error))


def _error(model: nn.Module, batch: Any) -> Tensor:
    return F.mse_loss(model(batch[0]), batch[1])


class Sums(nn.Module):
    """Modules `first`, `second`, `head`: a graph is told by the sum of its nodes, as in GIN."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = mlp((4, 24, 24), norm=None), mlp((24, 24, 24), norm=None)
        self.head = nn.Linear(24, 2)

    def forward(self, graphs: Tensor) -> Tensor:
        edges, h = graphs[:, :, :10], graphs[:, :, 10:]
        h = F.relu(self.first(h + edges @ h / 3))
        h = F.relu(self.second(h + edges @ h / 3))
        return self.head(h.mean(1))


@register.control("graphs-with-triangles", source="H57; own")
def graphs_with_triangles(seed: int) -> Training:
    """Small graphs of two kinds by sums over neighbours; degrees are among the features."""
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(96)
    y = torch.arange(1200) % 2
    group = torch.arange(10) % 2
    chance = torch.where(
        group[:, None] == group, 0.35 + 0.35 * y[:, None, None], 0.35 - 0.2 * y[:, None, None]
    )
    upper = (torch.rand(1200, 10, 10, generator=draw) < chance).float().triu(1)
    edges = upper + upper.transpose(1, 2)
    nodes = torch.cat([edges.sum(2, keepdim=True) / 5, F.one_hot(group, 2).expand(1200, -1, -1)], 2)
    noise = 0.1 * torch.randn(1200, 10, 1, generator=draw)
    model = Sums()
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return classify(model, split(torch.cat([edges, nodes, noise], 2), y), seed, optimizer=adam, size=32)
