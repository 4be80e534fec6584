"""Inputs and targets whose scale is far from what the network starts at."""

from dataclasses import replace

import torch
from torch import nn

from sweeps.situations.common import classify, loss_on_test, regress, squared_error
from sweeps.situations.data import Data, digits, images, teacher
from sweeps.situations.networks import Cnn, mlp
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training


def rescaled(data: Data, factor: float, shift: float = 0.0) -> Data:
    """Inputs times `factor` plus `shift`."""
    return replace(data, x=data.x * factor + shift, x_test=data.x_test * factor + shift)


@register.fault(
    "raw-pixels-mlp",
    source="F44; SO 55328966",
    codes={"TV502"},
    remedies=("divide the pixels by 255", "standardise the inputs"),
    levels=(Level.BLATANT, Level.MODERATE),
)
def raw_pixels_mlp(level: Level | None, seed: int) -> Training:
    """Inputs of 0 to 255 (moderate: 0 to 50) into an MLP under SGD; the twin's are standardised."""
    torch.manual_seed(seed)
    factor = {None: 1.0, Level.BLATANT: 80.0, Level.MODERATE: 15.0}.get(level, 1.0)
    data = rescaled(digits(), factor, 1.5 * factor if level else 0.0)
    return classify(mlp((64, 64, 64, 10)), data, seed, lr=0.1)


@register.fault(
    "raw-pixels-cnn",
    source="F44 on convolutions",
    codes={"TV502"},
    remedies=("divide the pixels by 255", "standardise the inputs"),
    levels=(Level.BLATANT, Level.MODERATE),
)
def raw_pixels_cnn(level: Level | None, seed: int) -> Training:
    """Images of 0 to 255 (moderate: 0 to 50) into a CNN under SGD; the twin's are standardised."""
    torch.manual_seed(seed)
    factor = {None: 1.0, Level.BLATANT: 92.0, Level.MODERATE: 18.0}.get(level, 1.0)
    data = rescaled(images(), factor, 0.8 * factor if level else 0.0)
    return classify(Cnn(), data, seed, lr=0.1)


@register.fault(
    "pixels-divided-twice",
    source="own; F44 the other way round",
    codes={"TV502", "TV103"},
    remedies=("divide the pixels once", "standardise the inputs"),
    levels=(Level.BLATANT, Level.MODERATE),
)
def pixels_divided_twice(level: Level | None, seed: int) -> Training:
    """Inputs that were divided by 255 once (blatant: twice) too often: the net sees next to nothing."""
    torch.manual_seed(seed)
    factor = {None: 1.0, Level.BLATANT: 255.0**-2, Level.MODERATE: 1 / 255}.get(level, 1.0)
    return classify(mlp((64, 64, 64, 10)), rescaled(digits(), factor), seed)


@register.fault(
    "one-huge-feature",
    source="F48; SO 19328728, 58525908",
    codes={"TV502", "TV503"},
    remedies=("standardise the inputs",),
    levels=(Level.BLATANT, Level.MODERATE, Level.SUBTLE),
)
def one_huge_feature(level: Level | None, seed: int) -> Training:
    """One of sixteen features is in other units: 10⁶ (moderate: 10⁴, subtle: 100) times the others."""
    torch.manual_seed(seed)
    factor = {None: 1.0, Level.BLATANT: 1e6, Level.MODERATE: 1e4, Level.SUBTLE: 100.0}[level]
    scale = torch.ones(16)
    scale[3] = factor
    data = replace(teacher(), x=teacher().x * scale, x_test=teacher().x_test * scale)
    model = mlp((16, 64, 64, 1))
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return regress(model, data, seed, optimizer=adam, steps=300)


@register.fault(
    "half-of-features-constant",
    source="F48",
    codes={"TV502", "TV501", "TV503"},
    remedies=("standardise the inputs", "remove constant columns"),
    levels=(Level.BLATANT, Level.MODERATE),
)
def half_of_features_constant(level: Level | None, seed: int) -> Training:
    """As many columns as there are features hold nothing but 100 (moderate: 10), an id or a year; the twin's
    hold 0, which is what standardising makes of them.
    """
    torch.manual_seed(seed)
    value = {None: 0.0, Level.BLATANT: 100.0, Level.MODERATE: 10.0}.get(level, 0.0)
    data = teacher()

    def padded(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, torch.full_like(x, value)], 1)

    data = replace(data, x=padded(data.x), x_test=padded(data.x_test))
    return regress(mlp((32, 64, 64, 1)), data, seed, lr=0.02)


@register.fault(
    "raw-tabular-lengths",
    source="F44 on tables",
    codes={"TV502", "TV503"},
    remedies=("standardise the inputs",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def raw_tabular_lengths(level: Level | None, seed: int) -> Training:
    """Features of every unit there is, from 10⁻³ to 10³ (moderate: 0.1 to 30), that nobody standardised."""
    torch.manual_seed(seed)
    decades = {None: 0.0, Level.BLATANT: 3.0, Level.MODERATE: 1.5}.get(level, 0.0)
    scale = 10 ** torch.linspace(-decades, decades, 16)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(2))
    data = replace(teacher(), x=teacher().x * scale[order], x_test=teacher().x_test * scale[order])
    return regress(mlp((16, 64, 64, 1)), data, seed, lr=0.02)


def _targets(seed: int, *, scale: float, shift: float, lr: float, adam: bool = False) -> Training:
    """Targets times `scale` plus `shift`, scored in units of their standard deviation."""
    torch.manual_seed(seed)
    data = teacher()
    data = replace(data, y=data.y * scale + shift, y_test=data.y_test * scale + shift)

    def score(model: nn.Module) -> float:
        return loss_on_test(data, squared_error)(model) / scale**2

    model = mlp((16, 64, 64, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=lr) if adam else None
    return regress(model, data, seed, optimizer=optimizer, lr=lr, score=score, steps=300)


@register.fault(
    "unscaled-targets-adam",
    source="F49; SO 45154470",
    codes={"TV502", "TV404"},
    remedies=("standardise the targets",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def unscaled_targets_adam(level: Level | None, seed: int) -> Training:
    """Targets of the size of house prices, 10⁵ (moderate: 2·10⁴), under Adam, whose steps are as small as
    ever.
    """
    scale = {None: 1.0, Level.BLATANT: 1e5, Level.MODERATE: 2e4}.get(level, 1.0)
    return _targets(seed, scale=scale, shift=0.0, lr=2e-3, adam=True)


@register.fault(
    "unscaled-targets-sgd",
    source="F49 with SGD",
    codes={"TV502", "TV404"},
    remedies=("standardise the targets",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def unscaled_targets_sgd(level: Level | None, seed: int) -> Training:
    """Targets of 10⁵ (moderate: 100) under SGD, whose steps grow with them."""
    scale = {None: 1.0, Level.BLATANT: 1e5, Level.MODERATE: 100.0}.get(level, 1.0)
    return _targets(seed, scale=scale, shift=0.0, lr=0.02)


@register.fault(
    "targets-far-from-zero",
    source="F15; TheDeepChecker ineff_bias",
    codes={"TV502", "TV404"},
    where=("head*",),
    remedies=("subtract the mean of the targets", "start the last bias at the mean of the targets"),
    levels=(Level.BLATANT, Level.MODERATE),
)
def targets_far_from_zero(level: Level | None, seed: int) -> Training:
    """Targets of unit variance around 500 (moderate: 30), a last bias of 0: the run is spent on the mean."""
    shift = {None: 0.0, Level.BLATANT: 500.0, Level.MODERATE: 30.0}.get(level, 0.0)
    return _targets(seed, scale=1.0, shift=shift, lr=2e-3, adam=True)
