"""Without this file a configuration could not say `relu`: the activations by the names that papers use."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from models.errors import invalid, require_choice, require_finite

ActivationFactory = Callable[[], nn.Module]

ACTIVATIONS: Mapping[str, type[nn.Module]] = {
    "identity": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}

_SLOPE_FIELD = {"leaky_relu": "negative_slope", "prelu": "init"}


def activation_factory(name: str, *, slope: float | None = None) -> ActivationFactory:
    """A function that makes a new module of the named activation at each call, so that none is shared.

    `slope` is the slope below zero of leaky_relu (0.01 unless given) and the initial slope of prelu (0.25
    unless given); no other activation has one. Raises ValueError for an unknown name or a slope that cannot
    be used.
    """
    require_choice("activation", value=name, choices=ACTIVATIONS)
    if slope is None:
        return ACTIVATIONS[name]
    if name not in _SLOPE_FIELD:
        only = f"null for activation {name!r}; a number for {' or '.join(_SLOPE_FIELD)}"
        raise invalid("slope", value=slope, choices=only)
    require_finite("slope", value=slope)
    options: dict[str, Any] = {_SLOPE_FIELD[name]: slope}
    return partial(ACTIVATIONS[name], **options)


def in_place(activation: nn.Module) -> nn.Module:
    """The same activation, overwriting its input if it is one of those that can."""
    if isinstance(activation, nn.ReLU | nn.LeakyReLU | nn.ELU | nn.SELU | nn.SiLU):
        activation.inplace = True
    return activation
