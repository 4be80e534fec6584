"""Networks on graphs and sets."""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify, error_rate
from sweeps.situations.data import Data, split
from sweeps.situations.networks import mlp
from sweeps.situations.situation import register
from sweeps.situations.training import Training


@cache
def _graph() -> tuple[Data, Tensor]:
    """600 nodes of 4 groups, noisy features, and neighbours that are mostly of one's own group."""
    draw = torch.Generator().manual_seed(28)
    y = torch.randint(0, 4, (600,), generator=draw)
    chance = torch.where(y[:, None] == y, 0.035, 0.0035)
    edges = (torch.rand(600, 600, generator=draw) < chance).float()
    edges = ((edges + edges.T + torch.eye(600)) > 0).float()
    x = F.one_hot(y, 4).float() @ torch.randn(4, 16, generator=draw) + 2.0 * torch.randn(
        600, 16, generator=draw
    )
    return Data(x, y, x, y), edges


class Gcn(nn.Module):
    """Modules `first`, `second`; the graph belongs to the model."""

    def __init__(self, edges: Tensor) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(16, 32), nn.Linear(32, 4)
        root = edges.sum(1).rsqrt()
        self.register_buffer("mix", root[:, None] * edges * root)
        self.drop = nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        mix = self.get_buffer("mix")
        return mix @ self.second(self.drop(F.relu(mix @ self.first(x))))


class Gat(nn.Module):
    """Two heads of attention over neighbours: modules `value`, `asks`, `told`, `head`."""

    def __init__(self, edges: Tensor) -> None:
        super().__init__()
        self.value, self.head = nn.Linear(16, 32), nn.Linear(32, 4)
        self.asks, self.told = nn.Linear(16, 2), nn.Linear(16, 2)
        self.register_buffer("absent", edges == 0)

    def forward(self, x: Tensor) -> Tensor:
        scores = F.leaky_relu(self.asks(x).T[:, :, None] + self.told(x).T[:, None, :], 0.2)
        shares = scores.masked_fill(self.get_buffer("absent"), float("-inf")).softmax(-1)
        values = self.value(x).view(-1, 2, 16).transpose(0, 1)
        return self.head(F.elu((shares @ values).transpose(0, 1).flatten(1)))


def _on_graph(model: nn.Module, data: Data, seed: int) -> Training:
    """All nodes at once, of which every fifth has a known label; score on the others."""
    known = torch.arange(600) % 5 == 0

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return F.cross_entropy(model(batch[0])[known], batch[1][known])

    def score(model: nn.Module) -> float:
        return (model(data.x).argmax(-1) != data.y)[~known].float().mean().item()

    adam = torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=5e-3)
    training = classify(model, data, seed, optimizer=adam, loss=loss, score=score, steps=150)
    training.batch = lambda _step: (data.x, data.y)
    return training


@register.control("graph-convolution", source="H57")
def graph_convolution(seed: int) -> Training:
    """A graph convolutional network with few known nodes, all of the graph in each step."""
    torch.manual_seed(seed)
    data, edges = _graph()
    return _on_graph(Gcn(edges), data, seed)


@register.control("graph-attention", source="H57")
def graph_attention(seed: int) -> Training:
    """Attention over the neighbours in a graph; what is no neighbour is masked by minus infinity."""
    torch.manual_seed(seed)
    data, edges = _graph()
    return _on_graph(Gat(edges), data, seed)


class Sets(nn.Module):
    """Modules `each` and `all`, the largest of what each element says between them."""

    def __init__(self) -> None:
        super().__init__()
        self.each, self.all = mlp((2, 32, 32)), mlp((32, 32, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.all(self.each(x).max(1).values)


@register.control("point-sets", source="own")
def point_sets(seed: int) -> Training:
    """Shapes as sets of 16 points, of which a maximum keeps little: most elements get no gradient."""
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(29)
    y = torch.randint(0, 3, (1200,), generator=draw)
    t = torch.rand(1200, 16, generator=draw) * 6.28
    round_ = torch.stack([t.cos(), t.sin()], -1)
    shapes = torch.stack([round_, round_ / round_.abs().amax(-1, keepdim=True), round_.sign() * round_**2])
    data = split(shapes[y, torch.arange(1200)] + 0.05 * torch.randn(1200, 16, 2, generator=draw), y)
    model = Sets()
    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    return classify(model, data, seed, optimizer=adam, score=error_rate(data), steps=300)
