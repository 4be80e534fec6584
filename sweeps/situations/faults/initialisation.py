"""Weights that start wrong."""

import torch
from torch import nn

from sweeps.situations.common import classify
from sweeps.situations.data import digits
from sweeps.situations.networks import linears, mlp
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
