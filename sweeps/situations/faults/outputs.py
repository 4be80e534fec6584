"""Last layers that cannot say what the targets ask of them."""

import torch
from torch import nn

from sweeps.situations.common import classify, regress
from sweeps.situations.data import Data, digits, teacher
from sweeps.situations.networks import linears, mlp
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training


def with_output(net: nn.Sequential, out: nn.Module) -> nn.Sequential:
    """The net with a module `out` behind its head."""
    net.add_module("out", out)
    return net


@register.fault(
    "relu-on-logits",
    source="F20 for classes; own",
    codes={"TV405", "TV101"},
    where=("head", "out"),
    remedies=("no activation behind the last layer",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def relu_on_logits(level: Level | None, seed: int) -> Training:
    """ReLU behind the last layer, in front of cross-entropy: classes whose logit is negative for all samples
    are never learnt (blatant: the bias starts at -2, moderate: at -0.5).
    """
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 10))
    nn.init.constant_(linears(model)[-1].bias, -2.0 if level is Level.BLATANT else -0.5)
    return classify(model if level is None else with_output(model, nn.ReLU()), digits(), seed)


@register.fault(
    "relu-output-negative-targets",
    source="F21; SO 48251943",
    codes={"TV405", "TV101"},
    where=("head", "out"),
    remedies=("no activation behind the last layer of a regression",),
    certain="no target below 0 can be met",
)
def relu_output_negative_targets(level: Level | None, seed: int) -> Training:
    """A regression that ends in ReLU, although half of its targets are negative."""
    torch.manual_seed(seed)
    model = mlp((16, 64, 64, 1))
    return regress(model if level is None else with_output(model, nn.ReLU()), teacher(), seed)


def _stretched(scale: float, shift: float) -> Data:
    """The teacher's targets, times `scale` and plus `shift`."""
    data = teacher()
    return Data(data.x, data.y * scale + shift, data.x_test, data.y_test * scale + shift)


@register.fault(
    "sigmoid-output-signed-targets",
    source="F22; SO 48221692",
    codes={"TV405", "TV102"},
    where=("head", "out"),
    remedies=("no activation behind the last layer of a regression",),
    certain="no target outside of 0 to 1 can be met",
)
def sigmoid_output_signed_targets(level: Level | None, seed: int) -> Training:
    """A regression of targets with mean 0 that ends in a sigmoid."""
    torch.manual_seed(seed)
    model = mlp((16, 64, 64, 1))
    return regress(model if level is None else with_output(model, nn.Sigmoid()), teacher(), seed)


@register.fault(
    "sigmoid-output-hundreds",
    source="F22; TheDeepChecker regr_inapp",
    codes={"TV405", "TV102", "TV502"},
    where=("head", "out"),
    remedies=("no activation behind the last layer of a regression", "standardise the targets"),
    certain="no target above 1 can be met",
)
def sigmoid_output_hundreds(level: Level | None, seed: int) -> Training:
    """A sigmoid in front of targets of 0 to 500, none of which it can reach but the smallest."""
    return _squashed(level, seed, nn.Sigmoid(), scale=125.0, shift=250.0)


@register.fault(
    "tanh-output-hundreds",
    source="F22 with tanh",
    codes={"TV405", "TV102", "TV502"},
    where=("head", "out"),
    remedies=("no activation behind the last layer of a regression", "standardise the targets"),
    certain="no target above 1 can be met",
)
def tanh_output_hundreds(level: Level | None, seed: int) -> Training:
    """A tanh in front of targets around 250, almost all above 1."""
    return _squashed(level, seed, nn.Tanh(), scale=80.0, shift=250.0)


def _squashed(level: Level | None, seed: int, out: nn.Module, *, scale: float, shift: float) -> Training:
    """The fault squashes the output and leaves the targets; the twin standardises, squashing nothing."""
    torch.manual_seed(seed)
    model, data, raw = mlp((16, 64, 64, 1)), teacher(), _stretched(scale, shift)

    def score(model: nn.Module) -> float:
        said = model(data.x_test)
        said = said * scale + shift if level is None else said
        return ((said - raw.y_test) / scale).square().mean().item()

    if level is None:
        return regress(model, data, seed, score=score)
    return regress(with_output(model, out), raw, seed, score=score)
