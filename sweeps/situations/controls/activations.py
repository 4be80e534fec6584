"""Activations that are sparse, bounded, gated, or that need an initialisation of their own."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify, regress
from sweeps.situations.data import Data, digits, raw_digits, teacher
from sweeps.situations.networks import linears, mlp
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
        return F.cross_entropy(model(x), y) + 4.0 * model.active

    return _adam(Sparse(), digits(), seed, loss=loss, steps=300)


@register.control("relu-20-layers", source="H54")
def relu_20_layers(seed: int) -> Training:
    """Twenty ReLU layers with He's initialisation: some units fire for no sample of a batch from
    the start.
    """
    torch.manual_seed(seed)
    model = mlp((64, *(96,) * 20, 10))
    return _adam(model, digits(), seed, lr=1e-3, size=96)


@register.control("selu-deep", source="own")
def selu_deep(seed: int) -> Training:
    """Eight SELU layers with LeCun's initialisation, which keep their signals at unit variance by
    themselves.
    """
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
    """Pixels of -1 to 1 through a bottleneck of 16 and out through a tanh, which is at its ends where they
    are.
    """
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


@register.control("deep-linear-orthogonal", source="H50")
def deep_linear_orthogonal(seed: int) -> Training:
    """Eight linear layers with orthogonal weights and nothing between them, as theory studies them on
    purpose.
    """
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
    """A picture as a function of its coordinates, by sines of high frequency with weights of their own
    scale.
    """
    torch.manual_seed(seed)
    at = torch.rand(2048, 2, generator=torch.Generator().manual_seed(5)) * 2 - 1
    value = torch.sin(6 * at[:, :1]) * torch.cos(4 * at[:, 1:]) + 0.5 * (at[:, :1] > at[:, 1:]).float()
    data = Data(at[:1536], value[:1536], at[1536:], value[1536:])
    bound = (6 / 48) ** 0.5 / 15
    model = nn.Sequential(Siren(2, 48, 0.5), Siren(48, 48, bound), Siren(48, 48, bound), nn.Linear(48, 1))
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    return regress(model, data, seed, optimizer=adam, size=128, steps=300)
