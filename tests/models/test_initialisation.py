"""The laws of initialisation: variances, common noise, independence of the global generator."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models.initialisation import LAWS, Initialisation

# Standard deviation as a multiple of what the oracle below computes from (fan_in, fan_out).
STD = {
    "torch_default": lambda fan_in, _: math.sqrt(1 / (3 * fan_in)),
    "normal01": lambda *_: 1.0,
    "small_normal": lambda *_: 0.01,
    "xavier_normal": lambda fan_in, fan_out: math.sqrt(2 / (fan_in + fan_out)),
    "xavier_uniform": lambda fan_in, fan_out: math.sqrt(2 / (fan_in + fan_out)),
    "he_normal": lambda fan_in, _: math.sqrt(2 / fan_in),
    "he_uniform": lambda fan_in, _: math.sqrt(2 / fan_in),
    "lecun_normal": lambda fan_in, _: math.sqrt(1 / fan_in),
}
LAYERS = {
    "linear": (lambda: nn.Linear(300, 200), 300, 200),
    "conv": (lambda: nn.Conv2d(32, 64, 5), 32 * 25, 64 * 25),
    "grouped conv": (lambda: nn.Conv2d(32, 64, 5, groups=2), 16 * 25, 64 * 25),
}


def _filled(layer: nn.Module, *, seed: int = 0, **fields: Any) -> nn.Module:
    Initialisation(**fields).apply(layer, seed=seed)
    return layer


@pytest.mark.parametrize("name", STD)
@pytest.mark.parametrize("layer", LAYERS)
def test_weights_have_the_laws_standard_deviation(name, layer):
    make, fan_in, fan_out = LAYERS[layer]
    weight = _filled(make(), name=name).get_parameter("weight")
    assert weight.std().item() == pytest.approx(STD[name](fan_in, fan_out), rel=0.02)
    assert abs(weight.mean().item()) < 0.02 * STD[name](fan_in, fan_out)


@pytest.mark.parametrize("name", [name for name in STD if name != "torch_default"])
@pytest.mark.parametrize(
    ("make", "gates"), [(nn.RNN, 1), (nn.LSTM, 4), (nn.GRU, 3)], ids=["rnn", "lstm", "gru"]
)
def test_recurrent_weights_are_filled_gate_by_gate(name, make, gates):
    layer = _filled(make(150, 200), name=name)
    for weight, fan_in in (("weight_ih_l0", 150), ("weight_hh_l0", 200)):
        for gate in layer.get_parameter(weight).chunk(gates):
            assert gate.std().item() == pytest.approx(STD[name](fan_in, 200), rel=0.03)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: nn.Linear(40, 300), id="linear"),
        pytest.param(lambda: nn.Conv2d(3, 300, 3), id="conv"),
        pytest.param(lambda: nn.LSTM(10, 100), id="lstm"),
    ],
)
def test_torch_default_has_the_bounds_of_an_untouched_layer(make):
    torch.manual_seed(0)
    untouched, filled = make(), _filled(make(), name="torch_default")
    for ours, theirs in zip(filled.parameters(), untouched.parameters(), strict=True):
        assert ours.abs().max().item() == pytest.approx(theirs.abs().max().item(), rel=0.03)
        assert not torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        ("he_normal", "xavier_normal", math.sqrt(2 / 30) / math.sqrt(2 / 50)),
        ("small_normal", "normal01", 0.01),
        ("lecun_normal", "he_normal", math.sqrt(0.5)),
        ("he_uniform", "xavier_uniform", math.sqrt(50 / 30)),
        ("torch_default", "he_uniform", math.sqrt(1 / 6)),
    ],
)
def test_laws_that_differ_in_scale_share_their_noise(one, other, ratio):
    first, second = (_filled(nn.Linear(30, 20), name=name).get_parameter("weight") for name in (one, other))
    assert torch.allclose(first, ratio * second, rtol=1e-5)


@settings(deadline=None, max_examples=25)
@given(
    gain=st.floats(0.01, 100),
    seed=st.integers(0, 2**32),
    fan_in=st.integers(1, 20),
    fan_out=st.integers(1, 20),
)
def test_gain_multiplies_every_weight(gain, seed, fan_in, fan_out):
    plain = _filled(nn.Linear(fan_in, fan_out), seed=seed, name="he_normal").get_parameter("weight")
    scaled = _filled(nn.Linear(fan_in, fan_out), seed=seed, name="he_normal", gain=gain).get_parameter(
        "weight"
    )
    assert torch.allclose(scaled, gain * plain, rtol=1e-5)


@pytest.mark.parametrize(("name", "value"), [("zeros", 0.0), ("constant", 0.1)])
def test_fixed_laws_are_fixed(name, value):
    assert torch.all(_filled(nn.Linear(5, 4), name=name).get_parameter("weight") == value)


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (20, 20)])
def test_orthogonal_rows_or_columns_are_orthonormal(shape):
    weight = _filled(nn.Linear(*shape), name="orthogonal").get_parameter("weight").double()
    short = weight if weight.shape[0] <= weight.shape[1] else weight.T
    assert torch.allclose(short @ short.T, torch.eye(len(short), dtype=torch.float64), atol=1e-5)


def test_orthogonal_convolution_is_orthogonal_when_flattened():
    weight = _filled(nn.Conv2d(3, 8, 3), name="orthogonal").get_parameter("weight").flatten(1)
    assert torch.allclose(weight @ weight.T, torch.eye(8), atol=1e-5)


def test_orthogonal_recurrence_is_orthogonal_in_each_gate():
    for gate in _filled(nn.LSTM(5, 16), name="orthogonal").get_parameter("weight_hh_l0").chunk(4):
        assert torch.allclose(gate @ gate.T, torch.eye(16), atol=1e-5)


@pytest.mark.parametrize("name", [name for name in LAWS if name not in {"torch_default", "lsuv"}])
def test_biases_are_zero_unless_asked_for(name):
    assert torch.all(_filled(nn.Linear(5, 4), name=name).get_parameter("bias") == 0)
    assert torch.all(_filled(nn.Linear(5, 4), name=name, bias=-10.0).get_parameter("bias") == -10)


def test_the_global_generator_is_neither_read_nor_moved():
    weights = []
    for state in (1, 2):
        torch.manual_seed(state)
        layer = nn.Linear(5, 4)
        before = torch.get_rng_state()
        weights.append(_filled(layer, name="he_normal").get_parameter("weight"))
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(*weights)


def test_seed_zero_is_a_seed_like_any_other():
    first, again, other = (
        _filled(nn.Linear(5, 4), seed=seed, name="he_normal").get_parameter("weight") for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_layers_of_one_network_differ():
    network = _filled(nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5)), name="he_normal")
    assert not torch.equal(network.get_parameter("0.weight"), network.get_parameter("1.weight"))


def test_a_norm_in_between_does_not_change_the_noise():
    plain = _filled(nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5)), name="he_normal")
    normed = _filled(nn.Sequential(nn.Linear(5, 5), nn.LayerNorm(5), nn.Linear(5, 5)), name="he_normal")
    assert torch.equal(plain.get_parameter("1.weight"), normed.get_parameter("2.weight"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"name": "he_norml"},
            r"^init: 'he_norml' is unknown\. Did you mean 'he_normal'\? Choices: constant, he_n",
        ),
        (
            {"name": "normal01", "std": 0.0},
            r"^std: 0\.0 is not allowed\. Choices: a finite number above 0\.$",
        ),
        (
            {"name": "he_normal", "gain": -1.0},
            r"^gain: -1\.0 is not allowed\. Choices: a finite number above 0\.$",
        ),
        (
            {"name": "constant", "value": math.nan},
            r"^value: nan is not allowed\. Choices: a finite number\.$",
        ),
        ({"name": "zeros", "bias": math.inf}, r"^bias: inf is not allowed\. Choices: a finite number\.$"),
        ({"name": "relu", "std": 1.0}, r"^init: 'relu' is unknown\."),
        (
            {"name": "he_normal", "std": 1.0},
            r"^std: 1\.0 .* Choices: null for init 'he_normal'; a number for normal01, small_normal\.$",
        ),
        (
            {"name": "lsuv", "gain": 2.0},
            r"^gain: 2\.0 is not allowed\. Choices: null for init 'lsuv'; a number for",
        ),
    ],
)
def test_wrong_values_are_refused_when_the_law_is_made(fields, message):
    with pytest.raises(ValueError, match=message):
        Initialisation(**fields)


def test_lsuv_without_a_batch_says_what_it_needs():
    with pytest.raises(ValueError, match=r"^batch: None is not allowed\. Choices: a tensor of inputs"):
        Initialisation(name="lsuv").apply(nn.Linear(5, 4), seed=0)
