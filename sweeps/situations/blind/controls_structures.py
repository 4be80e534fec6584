"""Networks of unusual make: weights that tasks share, layers that come again, features that stay."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify, cross_entropy, regress
from sweeps.situations.data import digits, split
from sweeps.situations.networks import mlp
from sweeps.situations.recipes import recall
from sweeps.situations.situation import register
from sweeps.situations.training import Training


class Weighted(nn.Module):
    """Modules `body`, `number`, `kind`, and logarithms of two variances."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(mlp((16, 48, 48)), nn.ReLU())
        self.number, self.kind = nn.Linear(48, 1), nn.Linear(48, 3)
        self.logs = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.kind(self.body(x))


@register.control("tasks-weigh-themselves", source="own")
def tasks_weigh_themselves(seed: int) -> Training:
    """A regression and a classification whose weights are learnt as variances: the loss goes below 0."""
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(87)
    x = torch.randn(2000, 16, generator=draw)
    number = 0.7 * x[:, 0] + 0.7 * (x[:, 1] * x[:, 2]).tanh()
    kind = (x[:, 3:6] + 0.5 * x[:, 6:9]).argmax(1)
    data, model = split(x, torch.stack([kind.float(), number], 1)), Weighted()

    def loss(model: nn.Module, batch: Any) -> Tensor:
        h, logs = model.get_submodule("body")(batch[0]), model.get_parameter("logs")
        errors = torch.stack(
            [
                F.mse_loss(model.get_submodule("number")(h)[:, 0], batch[1][:, 1]),
                F.cross_entropy(model.get_submodule("kind")(h), batch[1][:, 0].long()),
            ]
        )
        return ((-logs).exp() * errors + 0.5 * logs).sum()

    def score(model: nn.Module) -> float:
        return (model(data.x_test).argmax(1) != data.y_test[:, 0].long()).float().mean().item()

    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    return classify(model, data, seed, optimizer=adam, loss=loss, score=score)


class Again(nn.Module):
    """Modules `read`, `again`, `head`: one layer is passed six times."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.again, self.head = nn.Linear(64, 48), nn.Linear(48, 48), nn.Linear(48, 10)

    def forward(self, x: Tensor) -> Tensor:
        given = self.read(x)
        h = torch.zeros_like(given)
        for _ in range(6):
            h = torch.tanh(given + self.again(h))
        return self.head(h)


@register.control("one-layer-six-times", source="own")
def one_layer_six_times(seed: int) -> Training:
    """A layer that is passed six times towards a fixed point, from a state of zeros."""
    torch.manual_seed(seed)
    model = Again()
    return classify(model, digits(), seed, lr=0.02, loss=cross_entropy)


class Waves(nn.Module):
    """Modules `net`; random frequencies, which stay, are a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("frequencies", 3 * torch.randn(2, 32))
        self.net = mlp((64, 64, 1))

    def forward(self, x: Tensor) -> Tensor:
        turns = x @ self.get_buffer("frequencies")
        return self.net(torch.cat([turns.sin(), turns.cos()], 1))


@register.control("fourier-features", source="own")
def fourier_features(seed: int) -> Training:
    """A picture from its coordinates by random sines and cosines that never change."""
    torch.manual_seed(seed)
    place = 2 * torch.rand(3000, 2, generator=torch.Generator().manual_seed(88)) - 1
    value = (6 * place[:, :1]).sin() * (5 * place[:, 1:]).cos()
    model = Waves()
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return regress(model, split(place, value), seed, optimizer=adam, size=128)


@register.control("last-word-of-the-first", source="H30; own")
def last_word_of_the_first(seed: int) -> Training:
    """A GRU has to hold the first token to the end, whereby its gates rightly open and close for good."""
    torch.manual_seed(seed)
    model = Holder()
    adam = torch.optim.Adam(model.parameters(), lr=0.01)
    return classify(model, recall(), seed, optimizer=adam, size=32)


class Holder(nn.Module):
    """Modules `tokens`, `gru`, `head`."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.gru = nn.Embedding(8, 16), nn.GRU(16, 24, batch_first=True)
        self.head = nn.Linear(24, 8)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.gru(self.tokens(tokens))[0])
