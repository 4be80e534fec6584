"""The theory gives the numbers that are known of it; without this TV308 would compare nets with errors."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from torchvitals.builtin.parts.theory import (
    ACTIVATIONS,
    gradient_factor,
    moments,
    neutral,
    profile,
    signal_factor,
    trainable_depth,
)
from torchvitals.probes.activations import ACTIVATIONS as MEASURED

VARIANCES = {"torch": 1 / 3, "xavier": 1.0, "he": 2.0, "normal01": 256.0, "small": 0.0256}
KNOWN = {
    "relu": ((0.408, 7.7), (0.707, 19.9), (1.000, math.inf), (11.3, 2.8), (0.113, 3.2)),
    "leaky_relu": ((0.408, 7.7), (0.707, 19.9), (1.000, math.inf), (11.3, 2.8), (0.113, 3.2)),
    "tanh": ((0.562, 12.0), (0.883, 55.6), (1.012, 582), (2.95, 6.4), (0.160, 3.8)),
    "sigmoid": ((0.141, 3.5), (0.234, 4.8), (0.313, 5.9), (1.224, 34), (0.040, 2.1)),
    "gelu": ((0.295, 5.7), (0.535, 11.0), (0.958, 162), (11.3, 2.8), (0.080, 2.7)),
    "silu": ((0.292, 5.6), (0.518, 10.5), (0.808, 32), (11.3, 2.8), (0.080, 2.7)),
    "elu": ((0.559, 11.9), (0.880, 53.9), (1.091, 80), (11.3, 2.8), (0.159, 3.8)),
    "selu": ((0.767, 26), (1.035, 200), (1.218, 35), (12.0, 2.8), (0.229, 4.7)),
    "linear": ((0.577, 12.6), (1.000, math.inf), (1.414, 19.9), (16, 2.5), (0.160, 3.8)),
}
"""Factor of the gradient's norm per layer and depth at which it has changed a thousandfold; computed apart
from this code.
"""
CELLS = [
    pytest.param(op, weight, factor, depth, id=f"{op} {name}")
    for op, row in KNOWN.items()
    for (name, weight), (factor, depth) in zip(VARIANCES.items(), row, strict=True)
]
TORCH = {
    "linear": lambda x: x,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "prelu": lambda x: F.prelu(x, torch.tensor([0.25], dtype=x.dtype)),
    "relu6": F.relu6,
    "tanh": torch.tanh,
    "hardtanh": F.hardtanh,
    "softsign": F.softsign,
    "sigmoid": torch.sigmoid,
    "hardsigmoid": F.hardsigmoid,
    "elu": F.elu,
    "celu": F.celu,
    "selu": F.selu,
    "gelu": F.gelu,
    "silu": F.silu,
    "mish": F.mish,
    "softplus": F.softplus,
    "hardswish": F.hardswish,
}


@pytest.mark.parametrize(("op", "weight", "factor", "depth"), CELLS)
def test_the_factor_per_layer_is_the_one_that_is_known(op, weight, factor, depth):
    found = gradient_factor(op, weight)
    assert found == pytest.approx(factor, rel=0.01, abs=0.0006)
    # The depth of a norm that hardly changes hangs on the last digit of the factor.
    slack = 0.03 + 0.001 / abs(math.log(factor)) if factor != 1 else 0.0
    if math.isinf(depth):
        assert trainable_depth(found) > 1e4
    else:
        assert trainable_depth(found) == pytest.approx(depth, rel=slack, abs=0.06)


@pytest.mark.parametrize("op", ACTIVATIONS)
def test_functions_and_slopes_are_those_of_torch(op):
    x = torch.linspace(-12, 12, 4001, dtype=torch.float64, requires_grad=True)
    y = TORCH[op](x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    points = x.detach().numpy()
    away = np.min(np.abs(points[:, None] - np.array(ACTIVATIONS[op].kinks)), axis=1) > 1e-9
    assert ACTIVATIONS[op].f(points) == pytest.approx(y.detach().numpy(), abs=1e-12)
    assert ACTIVATIONS[op].slope(points)[away] == pytest.approx(
        slope.numpy()[away], abs=1e-8
    )  # torch's 1/6 is rounded


@pytest.mark.parametrize("op", ACTIVATIONS)
@pytest.mark.parametrize("q", [1e-6, 0.3, 1.0, 30.0, 1e3])
def test_the_moments_are_those_of_a_brute_force_sum(op, q):
    z = (np.arange(20_000) + 0.5) / 1000 - 10
    weight = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) / 1000
    square, slope = moments(op, q)
    x = math.sqrt(q) * z
    assert square == pytest.approx(weight @ ACTIVATIONS[op].f(x) ** 2, rel=1e-3)
    assert slope == pytest.approx(weight @ ACTIVATIONS[op].slope(x) ** 2, rel=2e-2)


def test_every_activation_that_is_measured_is_known():
    assert set(MEASURED.values()) <= set(ACTIVATIONS)


@given(st.floats(-150, 150))
def test_a_relu_halves_the_mean_square_at_every_scale(decades):
    assert moments("relu", 10.0**decades) == pytest.approx((10.0**decades / 2, 0.5), rel=1e-9)


@given(st.sampled_from(sorted(ACTIVATIONS)), st.floats(-300, 300))
def test_moments_are_finite_and_not_negative_at_every_scale(op, decades):
    square, slope = moments(op, 10.0**decades)
    assert 0 <= square < math.inf
    assert 0 <= slope < math.inf


@pytest.mark.parametrize("q", [1e2, 1e8, 1e30])
def test_the_slope_of_a_saturated_tanh_falls_with_its_scale(q):
    """The integral of (1 - tanh^2)^2 is 4/3, spread over a density of 1 / sqrt(2 pi q) around 0."""
    assert moments("tanh", q)[1] == pytest.approx(4 / 3 / math.sqrt(2 * math.pi * q), rel=2e-2)


@given(st.sampled_from(sorted(ACTIVATIONS)), st.floats(0.01, 300), st.floats(0, 1))
def test_a_profile_is_the_sum_of_its_layers(op, weight, bias):
    signal, gradient = profile([(op, weight, bias)] * 3, 2.0)
    q, expected = 2.0, 0.0
    for change in signal:
        square, slope = moments(op, q)
        assert change == pytest.approx(math.log10((weight * square + bias) / q) / 2, abs=1e-9)
        expected += math.log10(weight * slope) / 2
        q = weight * square + bias
    assert gradient.sum() == pytest.approx(expected, abs=1e-9)


def test_the_signal_of_a_relu_changes_as_its_gradient_does():
    assert signal_factor("relu", 1.0) == pytest.approx(0.5**0.5)
    assert signal_factor("linear", 4.0) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("op", "low", "high"),
    [
        ("relu", 1.999, 2.001),
        ("leaky_relu", 1.999, 2.001),
        ("prelu", 1.88, 1.89),
        ("linear", 0.999, 1.001),
        ("tanh", 1.0, 2.78),  # between Xavier's and torch's recommended gain of 5/3
        ("elu", 1.0, 2.0),
        ("selu", 0.5625, 1.0),  # between torch's recommended gain of 3/4 and LeCun's
        ("gelu", 2.0, 2.5),
        ("silu", 2.0, 3.0),
    ],
)
def test_the_neutral_variance_is_where_textbooks_have_it(op, low, high):
    value = neutral(op)
    assert value is not None
    assert low <= value <= high
    assert gradient_factor(op, value, layers=10) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("op", ["sigmoid", "hardsigmoid"])
def test_no_usual_variance_keeps_the_gradient_of_a_sigmoid(op):
    assert neutral(op) is None


def test_a_norm_that_stays_is_trainable_at_every_depth():
    assert trainable_depth(1.0) == math.inf
    assert trainable_depth(0.0) == 0.0
    assert trainable_depth(0.1) == pytest.approx(3)
    assert trainable_depth(10.0, decades=6) == pytest.approx(6)


@pytest.mark.parametrize(
    ("act", "weight", "layers"),
    [(torch.relu, 1 / 3, 8), (torch.tanh, 16.0, 8), (F.gelu, 1.0, 8), (torch.sigmoid, 1.0, 6)],
)
def test_a_finite_net_does_what_theory_says(act, weight, layers):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(64, 256, generator=draw, dtype=torch.float64)
    pre = []
    for _ in range(layers):
        w = torch.randn(256, 256, generator=draw, dtype=torch.float64) * (weight / 256) ** 0.5
        pre.append((x @ w).requires_grad_() if not pre else x @ w)
        x = act(pre[-1])
    for z in pre[1:]:
        z.retain_grad()
    (pre[-1] * torch.randn(64, 256, generator=draw, dtype=torch.float64)).sum().backward()
    name = {torch.relu: "relu", torch.tanh: "tanh", F.gelu: "gelu", torch.sigmoid: "sigmoid"}[act]
    signal, gradient = profile([(name, weight, 0.0)] * (layers - 1), weight)
    found = math.log10(pre[-1].square().mean().item() / pre[0].square().mean().item()) / 2
    back = math.log10(pre[0].grad.norm().item() / pre[-1].grad.norm().item())
    assert found == pytest.approx(signal.sum(), abs=0.15)
    assert back == pytest.approx(gradient.sum(), abs=0.15)
