"""Weights that start equal, so that units stay copies of each other."""

import torch
from torch import nn

from sweeps.situations.common import classify, regress
from sweeps.situations.data import circles, digits, images, teacher
from sweeps.situations.networks import Cnn, linears, mlp
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training


@register.fault(
    "zero-init-relu",
    source="F01; SO 48027263, 35961434",
    codes={"TV301"},
    where=("hidden.*", "head"),
    remedies=("init=he_normal",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def zero_init_relu(level: Level | None, seed: int) -> Training:
    """A ReLU MLP whose weights and biases are all 0 (moderate: those of the hidden layers alone)."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 10))
    if level is not None:
        for layer in linears(model)[: None if level is Level.BLATANT else -1]:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
    return classify(model, digits(), seed)


@register.fault(
    "zero-init-tanh",
    source="F01; SO 45997645, 42516484",
    codes={"TV301"},
    where=("hidden.*", "head"),
    remedies=("init=xavier_normal",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def zero_init_tanh(level: Level | None, seed: int) -> Training:
    """A tanh regression whose weights and biases are all 0 (moderate: those of the hidden layers alone)."""
    torch.manual_seed(seed)
    model = mlp((16, 64, 64, 1), act=nn.Tanh, init=nn.init.xavier_normal_)
    if level is not None:
        for layer in linears(model)[: None if level is Level.BLATANT else -1]:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
    return regress(model, teacher(), seed)


@register.fault(
    "zero-init-sigmoid",
    source="F02; SO 49705590",
    codes={"TV301"},
    where=("hidden.*", "head"),
    remedies=("init=xavier_normal",),
)
def zero_init_sigmoid(level: Level | None, seed: int) -> Training:
    """A sigmoid network of zeros on two rings: its units are 1/2, learn alike, and count as one."""
    torch.manual_seed(seed)
    model = mlp((2, 32, 2), act=nn.Sigmoid, init=nn.init.xavier_normal_)
    if level is not None:
        for layer in linears(model):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
    return classify(model, circles(), seed, lr=0.3, steps=400)


@register.fault(
    "zero-init-under-dropout",
    source="F01; SO 35961434",
    codes={"TV301"},
    where=("hidden.*", "head"),
    remedies=("init=he_normal",),
)
def zero_init_under_dropout(level: Level | None, seed: int) -> Training:
    """Zeros everywhere and dropout, which is said to break the symmetry: nothing times any is nothing."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 10), act=lambda: nn.Sequential(nn.ReLU(), nn.Dropout(0.2)))
    if level is not None:
        for layer in linears(model):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
    return classify(model, digits(), seed)


@register.fault(
    "constant-init-relu",
    source="F03; TheDeepChecker wrong_init",
    codes={"TV301"},
    where=("hidden.*", "head"),
    remedies=("init=he_normal",),
    levels=(Level.BLATANT, Level.MODERATE, Level.SUBTLE),
)
def constant_init_relu(level: Level | None, seed: int) -> Training:
    """Every weight of a ReLU MLP is 0.1 (moderate: 0.01; subtle: the first two layers alone are constant)."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 10))
    if level is not None:
        value = 0.01 if level is Level.MODERATE else 0.1
        for layer in linears(model)[: 2 if level is Level.SUBTLE else None]:
            nn.init.constant_(layer.weight, value)
            nn.init.zeros_(layer.bias)
    return classify(model, digits(), seed, lr=0.02)


@register.fault(
    "constant-init-tanh",
    source="F03; NeuraLint constant-init",
    codes={"TV301"},
    where=("hidden.*", "head"),
    remedies=("init=xavier_normal",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def constant_init_tanh(level: Level | None, seed: int) -> Training:
    """Every weight of a tanh regression is 0.1 (moderate: the weights of the first two layers alone)."""
    torch.manual_seed(seed)
    model = mlp((16, 64, 64, 1), act=nn.Tanh, init=nn.init.xavier_normal_)
    if level is not None:
        for layer in linears(model)[: None if level is Level.BLATANT else 2]:
            nn.init.constant_(layer.weight, 0.1)
            nn.init.zeros_(layer.bias)
    return regress(model, teacher(), seed)


@register.fault(
    "constant-init-cnn",
    source="F03 on convolutions",
    codes={"TV301"},
    where=("conv?", "head"),
    remedies=("init=he_normal",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def constant_init_cnn(level: Level | None, seed: int) -> Training:
    """Every weight of a CNN is 0.05 (moderate: of its first two convolutions alone)."""
    torch.manual_seed(seed)
    model = Cnn()
    for layer in (model.conv1, model.conv2, model.conv3):
        nn.init.kaiming_normal_(layer.weight)
    if level is not None:
        layers = (model.conv1, model.conv2, model.conv3, model.head)
        for layer in layers if level is Level.BLATANT else layers[:2]:
            nn.init.constant_(layer.weight, 0.05)
            nn.init.zeros_(layer.get_parameter("bias"))
    return classify(model, images(), seed, lr=0.05, steps=200)
