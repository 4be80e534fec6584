"""Activations by name: the right module, a new one each time, clear errors."""

import pytest
import torch
from torch.nn import functional as F

from models.activations import ACTIVATIONS, activation_factory, in_place

ORACLES = {
    "identity": lambda x: x,
    "sigmoid": lambda x: 1 / (1 + torch.exp(-x)),
    "tanh": lambda x: (torch.exp(x) - torch.exp(-x)) / (torch.exp(x) + torch.exp(-x)),
    "relu": lambda x: x.clamp(min=0),
    "leaky_relu": lambda x: torch.where(x > 0, x, 0.01 * x),
    "prelu": lambda x: torch.where(x > 0, x, 0.25 * x),
    "elu": lambda x: torch.where(x > 0, x, torch.exp(x) - 1),
    "selu": F.selu,
    "gelu": lambda x: x * 0.5 * (1 + torch.erf(x / 2**0.5)),
    "silu": lambda x: x / (1 + torch.exp(-x)),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_name_gives_its_formula(name):
    x = torch.linspace(-3, 3, 31, dtype=torch.float64)
    assert torch.allclose(activation_factory(name)().double()(x), ORACLES[name](x))


def test_factory_makes_a_new_module_each_time():
    make = activation_factory("prelu")
    assert make() is not make()


@pytest.mark.parametrize("name", ["leaky_relu", "prelu"])
def test_slope_is_the_slope_below_zero(name):
    assert activation_factory(name, slope=0.5)()(torch.tensor([-2.0])).item() == pytest.approx(-1.0)


def test_slope_of_an_activation_without_one_is_refused():
    with pytest.raises(
        ValueError, match=r"^slope: 0\.1 is not allowed\. Choices: null for activation 'relu'; a number for"
    ):
        activation_factory("relu", slope=0.1)


def test_unknown_name_gets_close_match_and_choices():
    with pytest.raises(
        ValueError,
        match=r"^activation: 'rleu' is unknown\. Did you mean 'relu'\? Choices: elu, gelu, identity",
    ):
        activation_factory("rleu")


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_in_place_twin_has_equal_outputs_and_gradients(name):
    results = []
    for prepare in (in_place, lambda module: module):
        x = torch.linspace(-3, 3, 32, requires_grad=True)
        out = prepare(activation_factory(name)())(x * 2)
        out.square().sum().backward()
        results.append((out.detach(), x.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.allclose(results[0][1], results[1][1], atol=1e-6)
