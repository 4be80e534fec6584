"""Weights that are drawn at a scale that has nothing to do with the width of their layer."""

import torch
from torch import nn

from sweeps.situations.common import classify, loss_on_test
from sweeps.situations.data import digits, images
from sweeps.situations.faults.initialisation_depth import TOO_LARGE, TOO_SMALL
from sweeps.situations.networks import Cnn, linears, mlp
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training


def redrawn(model: nn.Module, std: float | None) -> nn.Module:
    """With all weights but the head's drawn from N(0, std²); None leaves them as they are."""
    if std is not None:
        for layer in linears(model)[:-1]:
            nn.init.normal_(layer.weight, std=std)
    return model


@register.fault(
    "normal-init-tanh-deep",
    source="F04; SO 40147568, 48385830",
    codes=TOO_LARGE | {"TV102"},
    where=("hidden.*",),
    remedies=("init=xavier_normal",),
    levels=(Level.BLATANT, Level.MODERATE, Level.SUBTLE),
)
def normal_init_tanh_deep(level: Level | None, seed: int) -> Training:
    """Ten tanh layers of 128 with weights from N(0, 1): nearly every unit sits at -1 or 1 (less: N(0, 1/2²),
    N(0, 1/4²)).
    """
    torch.manual_seed(seed)
    std = {None: None, Level.BLATANT: 1.0, Level.MODERATE: 0.5, Level.SUBTLE: 0.25}[level]
    model = redrawn(mlp((64, *(128,) * 10, 10), act=nn.Tanh, init=nn.init.xavier_normal_), std)
    return classify(model, digits(), seed, lr=0.01, steps=150)


@register.fault(
    "normal-init-sigmoid",
    source="own; N(0, 1) of old tutorials",
    codes={"TV308", "TV102"},
    where=("hidden.*",),
    remedies=("init=xavier_normal",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def normal_init_sigmoid(level: Level | None, seed: int) -> Training:
    """Two sigmoid layers with weights from N(0, 10²) (moderate: N(0, 3²)). Those from N(0, 1), as numpy
    tutorials draw them, do no harm here that could be measured.
    """
    torch.manual_seed(seed)
    std = {None: None, Level.BLATANT: 10.0, Level.MODERATE: 3.0}.get(level)
    model = redrawn(mlp((64, 256, 256, 10), act=nn.Sigmoid, init=nn.init.xavier_normal_), std)
    return classify(model, digits(), seed, lr=0.1, steps=200, score=loss_on_test(digits()))


@register.fault(
    "normal-init-relu-deep",
    source="F05; SO 38321024",
    codes=TOO_LARGE,
    where=("hidden.*",),
    remedies=("init=he_normal",),
    levels=(Level.BLATANT, Level.MODERATE, Level.SUBTLE),
)
def normal_init_relu_deep(level: Level | None, seed: int) -> Training:
    """Ten ReLU layers of 64 with weights from N(0, 1), He being N(0, 0.18²): logits of 10⁷ at the start
    (less: N(0, 0.5²), N(0, 0.35²)).
    """
    torch.manual_seed(seed)
    std = {None: None, Level.BLATANT: 1.0, Level.MODERATE: 0.5, Level.SUBTLE: 0.35}[level]
    return classify(redrawn(mlp((64, *(64,) * 10, 10)), std), digits(), seed, lr=0.01, steps=150)


@register.fault(
    "normal-init-cnn",
    source="F05 on convolutions",
    codes=TOO_LARGE | {"TV404"},
    where=("conv?", "*relu*"),
    remedies=("init=he_normal",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def normal_init_cnn(level: Level | None, seed: int) -> Training:
    """Three convolutions with weights from N(0, 1) (moderate: N(0, 0.5²)). The net is shallow, so the first
    loss tells as much as the growth over depth.
    """
    torch.manual_seed(seed)
    std = {None: None, Level.BLATANT: 1.0, Level.MODERATE: 0.5}.get(level)
    model = Cnn()
    for layer in (model.conv1, model.conv2, model.conv3):
        nn.init.kaiming_normal_(layer.weight)
        if std is not None:
            nn.init.normal_(layer.weight, std=std)
    return classify(model, images(), seed, lr=0.05, steps=200)


@register.fault(
    "small-init-relu-deep",
    source="F06; SO 61498304",
    codes=TOO_SMALL,
    where=("hidden.*", "head"),
    remedies=("init=he_normal",),
    levels=(Level.BLATANT, Level.MODERATE, Level.SUBTLE),
)
def small_init_relu_deep(level: Level | None, seed: int) -> Training:
    """Ten ReLU layers of 64 with weights from N(0, 0.01²), He being N(0, 0.18²) (less: N(0, 0.05²), N(0,
    0.08²)).
    """
    torch.manual_seed(seed)
    std = {None: None, Level.BLATANT: 0.01, Level.MODERATE: 0.05, Level.SUBTLE: 0.08}[level]
    return classify(redrawn(mlp((64, *(64,) * 10, 10)), std), digits(), seed, lr=0.01, steps=150)


@register.fault(
    "small-init-tanh-deep",
    source="F06 with tanh",
    codes=TOO_SMALL,
    where=("hidden.*", "head"),
    remedies=("init=xavier_normal",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def small_init_tanh_deep(level: Level | None, seed: int) -> Training:
    """Ten tanh layers of 64 with weights from N(0, 0.01²), Xavier being 0.125 (moderate: N(0, 0.04²))."""
    torch.manual_seed(seed)
    std = {None: None, Level.BLATANT: 0.01, Level.MODERATE: 0.04}.get(level)
    model = redrawn(mlp((64, *(64,) * 10, 10), act=nn.Tanh, init=nn.init.xavier_normal_), std)
    return classify(model, digits(), seed, lr=0.01, steps=150)
