"""Initialisations whose gain is wrong for the activation, which depth makes a matter of powers of ten."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify, regress
from sweeps.situations.data import diabetes, digits
from sweeps.situations.networks import linears, mlp
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training

TOO_LARGE = {"TV308", "TV104", "TV202"}
"""The scale itself, or the signal or gradient that grows with depth because of it."""
TOO_SMALL = {"TV308", "TV103", "TV201"}
"""The scale itself, or the signal or gradient that fades with depth because of it."""


@register.fault(
    "default-init-deep-relu",
    source="F07",
    codes=TOO_SMALL,
    where=("hidden.*", "head"),
    remedies=("init=he_normal", "model.norm=batch"),
    levels=(Level.BLATANT, Level.MODERATE),
)
def default_init_deep_relu(level: Level | None, seed: int) -> Training:
    """Twenty ReLU layers under torch's own initialisation, which loses a factor of 0.41 in each (moderate:
    the last ten of them; the first have He's).
    """
    torch.manual_seed(seed)
    model = mlp((64, *(128,) * 20, 10))
    if level is not None:
        for layer in linears(model)[0 if level is Level.BLATANT else 10 : -1]:
            layer.reset_parameters()
    return classify(model, digits(), seed, lr=0.01, steps=300)


@register.fault(
    "xavier-init-deep-relu",
    source="F06 by a gain of 1 for sqrt(2)",
    codes=TOO_SMALL,
    where=("hidden.*", "head"),
    remedies=("init=he_normal",),
)
def xavier_init_deep_relu(level: Level | None, seed: int) -> Training:
    """Twenty ReLU layers under Xavier's initialisation, which loses a factor of 0.71 in each, 10⁻³ in all."""
    torch.manual_seed(seed)
    init = nn.init.kaiming_normal_ if level is None else nn.init.xavier_normal_
    return classify(mlp((64, *(128,) * 20, 10), init=init), digits(), seed, lr=0.01, steps=300)


@register.fault(
    "he-init-linear-deep",
    source="F09",
    codes=TOO_LARGE,
    where=("hidden.*", "head"),
    remedies=("init=xavier_normal",),
)
def he_init_linear_deep(level: Level | None, seed: int) -> Training:
    """Thirty linear layers under He's initialisation, whose gain is meant for ReLU: 1.41 a layer, 3·10⁴ in
    all.
    """
    torch.manual_seed(seed)
    init = nn.init.xavier_normal_ if level is None else nn.init.kaiming_normal_
    model = mlp((10, *(32,) * 30, 1), act=nn.Identity, init=init)
    return regress(model, diabetes(), seed, lr=2e-4, steps=200)


@register.fault(
    "small-gain-orthogonal-tanh",
    source="own; a gain left at what another net needed",
    codes=TOO_SMALL,
    where=("hidden.*", "head"),
    remedies=("init=orthogonal", "a gain of 1 to 5/3"),
    levels=(Level.BLATANT, Level.MODERATE, Level.SUBTLE),
)
def small_gain_orthogonal_tanh(level: Level | None, seed: int) -> Training:
    """Fifteen tanh layers with orthogonal weights of gain 0.3 (moderate: 0.5, subtle: 0.6)."""
    torch.manual_seed(seed)
    gain = {None: 1.1, Level.BLATANT: 0.3, Level.MODERATE: 0.5, Level.SUBTLE: 0.6}[level]
    model = mlp((64, *(64,) * 15, 10), act=nn.Tanh, init=lambda w: nn.init.orthogonal_(w, gain))
    return classify(model, digits(), seed, lr=0.01, steps=200)


@register.fault(
    "he-init-deep-selu",
    source="own; SELU needs LeCun's",
    codes=TOO_LARGE,
    where=("hidden.*", "head"),
    remedies=("init=lecun_normal",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def he_init_deep_selu(level: Level | None, seed: int) -> Training:
    """Forty SELU layers whose weights are 2 times LeCun's (moderate: He's, 1.41 times): gradients grow with
    depth although SELU holds its outputs near one size.
    """
    torch.manual_seed(seed)
    gain = {None: 1.0, Level.BLATANT: 2.0, Level.MODERATE: 2**0.5}.get(level, 1.0)

    def lecun(weight: Tensor) -> None:
        nn.init.normal_(weight, std=gain / weight.shape[1] ** 0.5)

    model = mlp((64, *(64,) * 40, 10), act=nn.SELU, init=lecun)
    return classify(model, digits(), seed, lr=0.002, steps=200)


class Residual(nn.Module):
    """x + down(relu(up(x))), with modules `up` and `down`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.kaiming_normal_(self.up.weight)
        nn.init.kaiming_normal_(self.down.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(F.relu(self.up(x)))


@register.fault(
    "unscaled-residual-branches",
    source="own; Fixup (Zhang et al., 2019)",
    codes=TOO_LARGE | {"TV404"},
    where=("blocks.*", "head"),
    remedies=("init=zero_residual", "model.norm=batch"),
    levels=(Level.BLATANT, Level.MODERATE),
)
def unscaled_residual_branches(level: Level | None, seed: int) -> Training:
    """Twenty residual blocks without norm whose branches start at full size, so that the sum triples in each
    (moderate: at half size); those of the twin are divided by the root of the depth.
    """
    torch.manual_seed(seed)
    scale = {None: 20**-0.5, Level.BLATANT: 1.0, Level.MODERATE: 0.6}.get(level, 1.0)
    blocks = [Residual(64) for _ in range(20)]
    for block in blocks:
        block.down.weight.data.mul_(scale)
    model = nn.Sequential()
    model.add_module("blocks", nn.Sequential(*blocks))
    model.add_module("head", nn.Linear(64, 10))
    return classify(model, digits(), seed, lr=0.005, steps=150)
