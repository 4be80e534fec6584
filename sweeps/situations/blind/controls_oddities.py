"""Healthy trainings with something in them that looks wrong."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.blind.sets import friedman, shapes
from sweeps.situations.common import classify, regress
from sweeps.situations.data import Data, digits
from sweeps.situations.networks import Cnn, mlp
from sweeps.situations.situation import register
from sweeps.situations.training import Training


@register.control("log-softmax-before-cross-entropy", source="own")
def log_softmax_before_cross_entropy(seed: int) -> Training:
    """Log-softmax in front of cross-entropy, which takes it once more: twice is the same as once."""
    torch.manual_seed(seed)
    model = nn.Sequential(mlp((64, 64, 10)), nn.LogSoftmax(-1))
    return classify(model, digits(), seed)


@register.control("relu-twice", source="F25; own")
def relu_twice(seed: int) -> Training:
    """ReLU as a module and once more by a call, which changes nothing."""
    torch.manual_seed(seed)
    model = Twice()
    return classify(model, shapes(), seed, optimizer=torch.optim.Adam(model.parameters(), lr=5e-3), size=32)


class Twice(nn.Module):
    """Modules `conv1`, `conv2`, `relu`, `head`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.relu, self.head = nn.ReLU(), nn.Linear(144, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.relu(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.relu(self.conv2(x))), 2)
        return self.head(x.flatten(1))


@register.control("loss-times-a-thousand", source="own")
def loss_times_a_thousand(seed: int) -> Training:
    """The loss is multiplied by 1,000 for the eye, and Adam does not mind."""
    torch.manual_seed(seed)
    model = mlp((10, 48, 48, 1), act=nn.GELU)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return 1000 * F.mse_loss(model(batch[0]), batch[1])

    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    return regress(model, friedman(), seed, optimizer=adam, loss=loss)


@register.control("hardest-quarter", source="own")
def hardest_quarter(seed: int) -> Training:
    """Only the hardest quarter of each batch counts: the loss told is higher than that of all."""
    torch.manual_seed(seed)
    model = Cnn(norm=True)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        each = F.cross_entropy(model(batch[0]), batch[1], reduction="none")
        return each.topk(len(each) // 4).values.mean()

    rows = digits()
    data = Data(rows.x.view(-1, 1, 8, 8), rows.y, rows.x_test.view(-1, 1, 8, 8), rows.y_test)
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return classify(model, data, seed, optimizer=adam, loss=loss, size=96)


class Reverse(torch.autograd.Function):
    """The identity, whose gradient is turned round."""

    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return x.view_as(x)

    @staticmethod
    def backward(_ctx: Any, grad: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return -0.3 * grad


class TwoDomains(nn.Module):
    """Modules `body`, `digit`, `domain`."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(mlp((64, 64, 32)), nn.ReLU())
        self.digit, self.domain = nn.Linear(32, 10), mlp((32, 16, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.digit(self.body(x))


@register.control("gradient-reversed-for-domains", source="own")
def gradient_reversed(seed: int) -> Training:
    """Features are to tell digits and to hide which of two scanners they come from, by a reversed gradient: a
    part of the net gets worse on purpose.
    """
    torch.manual_seed(seed)
    rows, model = digits(), TwoDomains()

    def scanned(x: Tensor) -> Tensor:
        return torch.where((torch.arange(len(x)) % 2 == 0)[:, None], x, 0.6 * x + 0.4)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x, y = batch[0], batch[1]
        features = model.get_submodule("body")(x[:, :64])
        hidden = model.get_submodule("domain")(Reverse.apply(features))
        told = F.cross_entropy(model.get_submodule("digit")(features), y)
        return told + F.cross_entropy(hidden, x[:, 64].long())

    domain = (torch.arange(len(rows.x)) % 2).float().unsqueeze(1)
    data = Data(torch.cat([scanned(rows.x), domain], 1), rows.y, scanned(rows.x_test), rows.y_test)
    adam = torch.optim.Adam(model.parameters(), lr=2e-3)
    return classify(model, data, seed, optimizer=adam, loss=loss, steps=300)


class Reservoir(nn.Module):
    """Modules `reservoir`, a random recurrent net that stays as it is, and `head`."""

    def __init__(self) -> None:
        super().__init__()
        self.reservoir = nn.RNN(8, 120, batch_first=True).requires_grad_(requires_grad=False)
        nn.init.orthogonal_(self.reservoir.get_parameter("weight_hh_l0"), 0.9)
        self.head = nn.Linear(120, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.reservoir(x)[0][:, -1])


@register.control("reservoir", source="H10; own")
def reservoir(seed: int) -> Training:
    """A random recurrent net reads images row by row and never learns; a linear layer upon it does."""
    torch.manual_seed(seed)
    rows, model = digits(), Reservoir()
    data = Data(rows.x.view(-1, 8, 8), rows.y, rows.x_test.view(-1, 8, 8), rows.y_test)
    adam = torch.optim.Adam(model.head.parameters(), lr=0.02)
    return classify(model, data, seed, optimizer=adam)
