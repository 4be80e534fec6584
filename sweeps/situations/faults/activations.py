"""Activations that are missing, that saturate, or that do not go with the depth."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sweeps.situations.common import classify, regress
from sweeps.situations.data import Data, circles, digits, images, raw_digits, split, teacher
from sweeps.situations.networks import Cnn, mlp
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training


@register.fault(
    "sigmoid-deep",
    source="F16; SO 50209981, 58609115",
    codes={"TV201", "TV103"},
    where=("hidden.*",),
    remedies=("activation=relu init=he_normal", "model.norm=batch", "model.residual=true"),
    levels=(Level.BLATANT, Level.MODERATE, Level.SUBTLE),
)
def sigmoid_deep(level: Level | None, seed: int) -> Training:
    """Ten layers with sigmoids in all of them (moderate: in the first six, subtle: in the first four), the
    others and the twin's being ReLU.
    """
    torch.manual_seed(seed)
    count = {None: 0, Level.BLATANT: 10, Level.MODERATE: 6, Level.SUBTLE: 4}[level]
    kinds = iter([nn.Sigmoid] * count + [nn.ReLU] * (10 - count))
    model = mlp((64, *(64,) * 10, 10), act=lambda: next(kinds)())  # noqa: PLW0108 - a kind for each layer
    return classify(model, digits(), seed, lr=0.02, steps=250)


@register.fault(
    "missing-activation-circles",
    source="F18; SO 46181692, UMLAUT",
    codes={"TV403"},
    remedies=("activation=relu",),
    certain="a stack of linear layers is linear, and no line parts two rings",
)
def missing_activation_circles(level: Level | None, seed: int) -> Training:
    """Linear layers with nothing between them, on two rings."""
    torch.manual_seed(seed)
    act = nn.ReLU if level is None else nn.Identity
    return classify(mlp((2, 32, 32, 2), act=act), circles(), seed, lr=0.05, steps=300)


@register.fault(
    "missing-activation-parity",
    source="F18; SO 46181692",
    codes={"TV403"},
    remedies=("activation=tanh",),
    certain="a stack of linear layers is linear, and the sign of a product is not",
)
def missing_activation_parity(level: Level | None, seed: int) -> Training:
    """Linear layers with nothing between them, on the exclusive or of two signs."""
    torch.manual_seed(seed)
    x = torch.randn(1024, 2, generator=torch.Generator().manual_seed(3))
    data = split(x, (x.prod(1) > 0).long())
    act = nn.Tanh if level is None else nn.Identity
    model = mlp((2, 32, 32, 2), act=act, init=nn.init.xavier_normal_)
    return classify(model, data, seed, lr=0.1, steps=300)


@register.fault(
    "dying-relu-by-lr",
    source="F24; SO 53749895, 49891163, 54688502",
    codes={"TV101", "TV302"},
    onset=(0, 40),
    remedies=("optimizer.lr=0.05", "activation=leaky_relu"),
    levels=(Level.BLATANT, Level.MODERATE),
)
def dying_relu_by_lr(level: Level | None, seed: int) -> Training:
    """Four ReLU layers whose first steps are so large (a learning rate of 0.3 under momentum; moderate: 0.2)
    that most units of the later ones never fire again.
    """
    torch.manual_seed(seed)
    lr = {None: 0.05, Level.BLATANT: 0.3, Level.MODERATE: 0.2}.get(level, 0.05)
    return classify(mlp((64, 64, 64, 64, 64, 10)), digits(), seed, lr=lr)


@register.fault(
    "dying-relu-cnn-adam",
    source="F24 with Adam",
    codes={"TV101", "TV302"},
    onset=(0, 60),
    remedies=("optimizer.lr=1e-3", "activation=leaky_relu"),
    levels=(Level.BLATANT, Level.MODERATE),
)
def dying_relu_cnn_adam(level: Level | None, seed: int) -> Training:
    """A CNN under Adam with a learning rate of 0.5 (moderate: 0.1), whose channels die in the first steps."""
    torch.manual_seed(seed)
    lr = {None: 5e-3, Level.BLATANT: 0.5, Level.MODERATE: 0.1}.get(level, 5e-3)
    model = Cnn()
    adam = torch.optim.Adam(model.parameters(), lr=lr)
    return classify(model, images(), seed, optimizer=adam, steps=150)


def _scaled(factor: float) -> Data:
    """Digits with pixels of 0 to 1, times `factor`."""
    data = raw_digits()
    return Data(data.x / 16 * factor, data.y, data.x_test / 16 * factor, data.y_test)


def _pixels(act: Callable[[], nn.Module], level: Level | None, seed: int) -> Training:
    torch.manual_seed(seed)
    factor = {None: 2.0, Level.BLATANT: 255.0, Level.MODERATE: 60.0}.get(level, 1.0)
    model = mlp((64, 64, 10), act=act, init=nn.init.xavier_normal_)
    return classify(model, _scaled(factor), seed, lr=0.1, steps=200)


@register.fault(
    "sigmoid-on-raw-pixels",
    source="F26; SO 39817949",
    codes={"TV102", "TV502"},
    where=("hidden.0*",),
    remedies=("divide the pixels by 255",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def sigmoid_on_raw_pixels(level: Level | None, seed: int) -> Training:
    """Pixels of 0 to 255 into a layer of sigmoids (moderate: 0 to 60), which sit at 0 or 1 from the first
    step.
    """
    return _pixels(nn.Sigmoid, level, seed)


@register.fault(
    "tanh-on-raw-pixels",
    source="F26 with tanh",
    codes={"TV102", "TV502"},
    where=("hidden.0*",),
    remedies=("divide the pixels by 255",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def tanh_on_raw_pixels(level: Level | None, seed: int) -> Training:
    """Pixels of 0 to 255 into a layer of tanh (moderate: 0 to 60), which sit at -1 or 1 from the start."""
    return _pixels(nn.Tanh, level, seed)


@register.fault(
    "softmax-between-layers",
    source="own",
    codes={"TV103", "TV201"},
    where=("hidden.*", "head"),
    remedies=("activation=relu",),
)
def softmax_between_layers(level: Level | None, seed: int) -> Training:
    """Softmax as the activation of three hidden layers: each output is near 1/64 whatever came in."""
    torch.manual_seed(seed)
    act = nn.ReLU if level is None else (lambda: nn.Softmax(dim=-1))
    return classify(mlp((64, 64, 64, 64, 10), act=act), digits(), seed, steps=200)


class Square(nn.Module):
    """x²"""

    def forward(self, x: Tensor) -> Tensor:
        return x * x


@register.fault(
    "square-activation",
    source="own; polynomial activations",
    codes={"TV104", "TV203", "TV202", "TV308"},
    onset=(0, 20),
    where=("hidden.*", "head"),
    remedies=("activation=relu",),
)
def square_activation(level: Level | None, seed: int) -> Training:
    """x² as the activation of four layers: what is above 1 explodes, in no time as far as floats go."""
    torch.manual_seed(seed)
    act = nn.ReLU if level is None else Square
    return regress(mlp((16, 64, 64, 64, 64, 1), act=act), teacher(), seed, lr=0.01)
