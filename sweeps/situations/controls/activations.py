"""Activations that are sparse, bounded, gated, or that need an initialisation of their own."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify, regress
from sweeps.situations.data import Data, digits, images, raw_digits, teacher
from sweeps.situations.networks import linears, mlp
from sweeps.situations.recipes import recall, speak
from sweeps.situations.situation import register
from sweeps.situations.training import Training


def _lecun(weight: Tensor) -> Tensor:
    """Variance of 1 / fan_in."""
    return nn.init.normal_(weight, std=weight.shape[1] ** -0.5)


def _adam(model: nn.Module, data: Data, seed: int, lr: float = 3e-3, **rest: Any) -> Training:
    return classify(model, data, seed, optimizer=torch.optim.Adam(model.parameters(), lr=lr), **rest)


class Sparse(nn.Module):
    """One wide ReLU layer, whose mean activation is asked to be small: modules `up`, `act`, `head`."""

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.up, self.act, self.head = nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10)
        self.active = torch.zeros(())

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.act(self.up(x))
        self.active = hidden.mean()
        return self.head(hidden)


@register.control("sparse-relu", source="H01")
def sparse_relu(seed: int) -> Training:
    """A ReLU layer that a penalty has made sparse: few units fire at a time, all fire for some digit."""
    torch.manual_seed(seed)

    def loss(model: Any, batch: Any) -> Tensor:
        x, y = batch
        return F.cross_entropy(model(x), y) + 1.0 * model.active

    return _adam(Sparse(), digits(), seed, loss=loss, steps=300)


@register.control("relu-20-layers", source="H54")
def relu_20_layers(seed: int) -> Training:
    """Twenty ReLU layers with He's initialisation: some units fire for no sample of a batch from the start."""
    torch.manual_seed(seed)
    model = mlp((64, *(96,) * 20, 10))
    return _adam(model, digits(), seed, lr=1e-3, size=96)


@register.control("selu-deep", source="own")
def selu_deep(seed: int) -> Training:
    """Eight SELU layers with LeCun's initialisation, which keep their signals at unit variance by themselves."""
    torch.manual_seed(seed)
    return classify(mlp((64, *(64,) * 8, 10), act=nn.SELU, init=_lecun), digits(), seed, lr=0.01)


def _activation(name: str, act: Callable[[], nn.Module], words: str) -> None:
    def build(seed: int) -> Training:
        torch.manual_seed(seed)
        return _adam(mlp((64, 64, 64, 64, 10), act=act), digits(), seed)

    build.__doc__ = f"Three {words} layers with He's initialisation, under Adam."
    register.control(f"{name}-mlp", source="own")(build)


_activation("gelu", nn.GELU, "GELU")
_activation("silu", nn.SiLU, "SiLU")
_activation("leaky-relu", nn.LeakyReLU, "leaky ReLU")
_activation("elu", nn.ELU, "ELU")
_activation("prelu", nn.PReLU, "PReLU")


@register.control("sigmoid-mlp", source="own")
def sigmoid_mlp(seed: int) -> Training:
    """The classic: two sigmoid layers with Xavier's initialisation, under Adam."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 10), act=nn.Sigmoid, init=nn.init.xavier_uniform_)
    return _adam(model, digits(), seed, lr=1e-2)


@register.control("sigmoid-regression", source="own")
def sigmoid_regression(seed: int) -> Training:
    """One sigmoid layer and a linear output, as the universal approximation theorem has it."""
    torch.manual_seed(seed)
    model = mlp((16, 64, 1), act=nn.Sigmoid, init=nn.init.xavier_uniform_)
    adam = torch.optim.Adam(model.parameters(), lr=1e-2)
    return regress(model, teacher(), seed, optimizer=adam, steps=400)


@register.control("tanh-mlp", source="own")
def tanh_mlp(seed: int) -> Training:
    """Five tanh layers with Xavier's initialisation, under SGD with momentum."""
    torch.manual_seed(seed)
    model = mlp((64, *(64,) * 5, 10), act=nn.Tanh, init=nn.init.xavier_normal_)
    return classify(model, digits(), seed, lr=0.03)


@register.control("tanh-autoencoder", source="own")
def tanh_autoencoder(seed: int) -> Training:
    """Pixels of -1 to 1 through a bottleneck of 16 and out through a tanh, which is at its ends where they are."""
    torch.manual_seed(seed)
    raw = raw_digits()
    x, x_test = raw.x / 8 - 1, raw.x_test / 8 - 1
    coder = mlp((64, 64, 16), act=nn.Tanh, init=nn.init.xavier_normal_)
    decoder = mlp((16, 64, 64), act=nn.Tanh, init=nn.init.xavier_normal_)
    model = nn.Sequential(coder, decoder, nn.Tanh())
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return regress(model, Data(x, x, x_test, x_test), seed, optimizer=adam, steps=400)


@register.control("sigmoid-image-decoder", source="own")
def sigmoid_image_decoder(seed: int) -> Training:
    """Binary pixels out through a sigmoid: most of its outputs are rightly near 0 or 1."""
    torch.manual_seed(seed)
    raw = raw_digits()
    x, x_test = (raw.x > 7).float(), (raw.x_test > 7).float()
    model = nn.Sequential(mlp((64, 64, 24)), mlp((24, 64, 64)), nn.Sigmoid())

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return F.binary_cross_entropy(model(batch[0]), batch[1])

    data = Data(x, x, x_test, x_test)
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return regress(model, data, seed, optimizer=adam, loss=loss, steps=400)


class Highway(nn.Module):
    """A layer that carries its input on but for what its gate, closed at first, lets through."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear, self.gate, self.sigmoid = nn.Linear(width, width), nn.Linear(width, width), nn.Sigmoid()
        nn.init.kaiming_normal_(self.linear.weight)
        nn.init.constant_(self.gate.bias, -3.0)

    def forward(self, x: Tensor) -> Tensor:
        share = self.sigmoid(self.gate(x))
        return share * F.relu(self.linear(x)) + (1 - share) * x


@register.control("highway", source="own")
def highway(seed: int) -> Training:
    """Ten highway layers, whose sigmoid gates are nearly closed at the start and by design."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 48), *(Highway(48) for _ in range(10)), nn.Linear(48, 10))
    return _adam(model, digits(), seed)


class Gate(nn.Module):
    """Squeeze and excitation: modules `down`, `up`, `sigmoid`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down, self.up, self.sigmoid = nn.Linear(width, 8), nn.Linear(8, width), nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        gate = self.sigmoid(self.up(F.relu(self.down(x.mean((2, 3))))))
        return x * gate[:, :, None, None]


@register.control("mobile-cnn", source="own")
def mobile_cnn(seed: int) -> Training:
    """Depthwise convolutions, ReLU6 and hard swish, and channels gated by a sigmoid."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16), nn.Hardswish()),
        nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False), nn.BatchNorm2d(16), nn.ReLU6()),
        Gate(16),
        nn.Sequential(nn.Conv2d(16, 32, 1, bias=False), nn.BatchNorm2d(32), nn.Hardswish()),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(32, 10)),
    )
    return _adam(model, images(), seed, lr=5e-3)


@register.control("deep-linear-orthogonal", source="H50")
def deep_linear_orthogonal(seed: int) -> Training:
    """Eight linear layers with orthogonal weights and nothing between them, as theory studies them on purpose."""
    torch.manual_seed(seed)
    model = mlp((64, *(64,) * 8, 10), act=nn.Identity, init=nn.init.orthogonal_)
    nn.init.orthogonal_(linears(model)[-1].weight)
    return classify(model, digits(), seed, lr=0.005, steps=250)


class Siren(nn.Module):
    """Sine of 15 times a linear map: modules `linear`."""

    def __init__(self, fan_in: int, width: int, bound: float) -> None:
        super().__init__()
        self.linear = nn.Linear(fan_in, width)
        nn.init.uniform_(self.linear.weight, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(15 * self.linear(x))


@register.control("siren", source="own")
def siren(seed: int) -> Training:
    """A picture as a function of its coordinates, by sines of high frequency with weights of their own scale."""
    torch.manual_seed(seed)
    at = torch.rand(2048, 2, generator=torch.Generator().manual_seed(5)) * 2 - 1
    value = torch.sin(6 * at[:, :1]) * torch.cos(4 * at[:, 1:]) + 0.5 * (at[:, :1] > at[:, 1:]).float()
    data = Data(at[:1536], value[:1536], at[1536:], value[1536:])
    bound = (6 / 48) ** 0.5 / 15
    model = nn.Sequential(Siren(2, 48, 0.5), Siren(48, 48, bound), Siren(48, 48, bound), nn.Linear(48, 1))
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    return regress(model, data, seed, optimizer=adam, size=128, steps=300)


class Latch(nn.Module):
    """A recurrent cell with gates, by hand: modules `tokens`, `gates`, `sigmoid`, `head`."""

    def __init__(self, vocabulary: int = 32, width: int = 32) -> None:
        super().__init__()
        self.width = width
        self.tokens, self.gates = nn.Embedding(vocabulary, width), nn.Linear(2 * width, 3 * width)
        self.sigmoid, self.head = nn.Sigmoid(), nn.Linear(width, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        x, state = self.tokens(tokens), torch.zeros(len(tokens), self.width)
        states = []
        for t in range(tokens.shape[1]):
            keep, show, new = self.gates(torch.cat([x[:, t], state], 1)).chunk(3, 1)
            keep = self.sigmoid(keep)
            state = keep * state + (1 - keep) * torch.tanh(new)
            states.append(self.sigmoid(show) * state)
        return self.head(torch.stack(states, 1))


@register.control("binary-gates", source="H30")
def binary_gates(seed: int) -> Training:
    """A gated cell that has to hold the first token to the end: its gates rightly become all or nothing."""
    torch.manual_seed(seed)
    return speak(Latch(8), seed, data=recall(), lr=2e-2, size=32, steps=400)
