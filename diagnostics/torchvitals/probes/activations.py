"""Which calls are activations, and below which pre-activation each of them stops passing gradients."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F

SILENT_BELOW: Mapping[str, float] = {
    "relu": 0.0,
    "relu6": 0.0,
    "leaky_relu": 0.0,
    "prelu": 0.0,
    "elu": -3.92,
    "celu": -3.92,
    "selu": -4.5,
    "gelu": -2.8,
    "silu": -5.6,
    "mish": -5.6,
    "hardswish": -3.0,
    "softplus": -3.9,
}
"""Pre-activation below which the slope is under 2 % of its largest value; for relu and its kin the slope is 0
there, for the leaky ones it is their small constant. Activations that are absent saturate rather than fall
silent.
"""

BOUNDED: Mapping[str, tuple[float, float]] = {
    "sigmoid": (0.03, 0.97),
    "tanh": (-0.97, 0.97),
    "hardsigmoid": (0.0, 1.0),
    "hardtanh": (-1.0, 1.0),
    "softsign": (-0.83, 0.83),
}
"""Outputs of bounded activations at and beyond which the slope is under 12 % of its largest value; 0 for the
hard ones. Those of a `hardtanh` are its own where it was given others.
"""

_SOURCES: Mapping[str, tuple[Any, ...]] = {
    "relu": (F.relu, torch.relu, torch.relu_, torch.Tensor.relu, torch.Tensor.relu_),
    "relu6": (F.relu6,),
    "leaky_relu": (F.leaky_relu, F.leaky_relu_),
    "prelu": (torch.prelu, torch.Tensor.prelu),
    "elu": (F.elu, F.elu_),
    "celu": (F.celu, torch.celu, torch.celu_),
    "selu": (F.selu, torch.selu, torch.selu_),
    "gelu": (F.gelu,),
    "silu": (F.silu,),
    "mish": (F.mish,),
    "hardswish": (F.hardswish,),
    "softplus": (F.softplus,),
    "sigmoid": (torch.sigmoid, torch.sigmoid_, torch.Tensor.sigmoid, torch.Tensor.sigmoid_, F.sigmoid),
    "tanh": (torch.tanh, torch.tanh_, torch.Tensor.tanh, torch.Tensor.tanh_, F.tanh),
    "hardsigmoid": (F.hardsigmoid,),
    "hardtanh": (F.hardtanh, F.hardtanh_),
    "softsign": (F.softsign,),
}

ACTIVATIONS: Mapping[Callable[..., Any], str] = {f: name for name, fs in _SOURCES.items() for f in fs}
"""Every spelling of an activation in torch, modules included: they call one of these."""
