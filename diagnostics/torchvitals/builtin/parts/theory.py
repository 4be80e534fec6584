"""How far a signal and its gradient carry through a wide random network, by mean-field theory.

A layer draws its weights with variance s/fan_in (s is the weight variance here, sigma_w^2 in the literature)
and its biases with variance b. A pre-activation whose mean square is q then gives one of s E[f(sqrt(q) z)^2]
+ b in the next layer, and the squared norm of the gradient changes by s E[f'(sqrt(q) z)^2] on its way back; z
is a standard normal number and f the activation.

Source: Poole et al. 2016 (arXiv:1606.05340); Schoenholz et al. 2017 (arXiv:1611.01232).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]

NODES, WEIGHTS = np.polynomial.legendre.leggauss(12)
REACH = 9.0
"""Standard deviations beyond which a normal number is left out: it gets there once in 10^19 times."""
SELU, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
LEAK, PRELU = 0.01, 0.25
"""Slopes below zero that torch begins with."""


@dataclass(frozen=True)
class Activation:
    """A function with its slope, and the places where either has a kink."""

    f: Function
    slope: Function
    kinks: tuple[float, ...] = (0.0,)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(x / 2))


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, x)


def _exp(x: np.ndarray) -> np.ndarray:
    """Of the negative part, so that nothing overflows."""
    return np.exp(np.minimum(x, 0))


def _normal(x: np.ndarray) -> np.ndarray:
    """Share of standard normal numbers below x."""
    return np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x])


def _density(x: np.ndarray) -> np.ndarray:
    return np.exp(-np.minimum(x**2, 1400) / 2) / math.sqrt(2 * math.pi)


def _bent(leak: float) -> Activation:
    return Activation(lambda x: np.where(x > 0, x, leak * x), lambda x: np.where(x > 0, 1.0, leak))


def _elu(scale: float, alpha: float) -> Activation:
    return Activation(
        lambda x: scale * np.where(x > 0, x, alpha * (_exp(x) - 1)),
        lambda x: scale * np.where(x > 0, 1.0, alpha * _exp(x)),
    )


def _cut(low: float, high: float, slope: float = 1.0, middle: float = 0.0) -> Activation:
    """A line that is flat below `low` and above `high`."""
    return Activation(
        lambda x: middle + slope * np.clip(x, low, high),
        lambda x: slope * ((x > low) & (x < high)).astype(float),
        (low, high),
    )


def _mish_slope(x: np.ndarray) -> np.ndarray:
    bounded = np.tanh(_softplus(x))
    return bounded + x * (1 - bounded**2) * _sigmoid(x)


ACTIVATIONS: Mapping[str, Activation] = {
    "linear": Activation(lambda x: x, np.ones_like),
    "relu": _bent(0.0),
    "leaky_relu": _bent(LEAK),
    "prelu": _bent(PRELU),
    "relu6": _cut(0.0, 6.0),
    "tanh": Activation(np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "hardtanh": _cut(-1.0, 1.0),
    "softsign": Activation(lambda x: x / (1 + np.abs(x)), lambda x: (1 + np.abs(x)) ** -2.0),
    "sigmoid": Activation(_sigmoid, lambda x: _sigmoid(x) * _sigmoid(-x)),
    "hardsigmoid": _cut(-3.0, 3.0, slope=1 / 6, middle=0.5),
    "elu": _elu(1.0, 1.0),
    "celu": _elu(1.0, 1.0),
    "selu": _elu(SELU, SELU_ALPHA),
    "gelu": Activation(lambda x: x * _normal(x), lambda x: _normal(x) + x * _density(x)),
    "silu": Activation(lambda x: x * _sigmoid(x), lambda x: _sigmoid(x) * (1 + x * _sigmoid(-x))),
    "mish": Activation(lambda x: x * np.tanh(_softplus(x)), _mish_slope),
    "softplus": Activation(_softplus, _sigmoid),
    "hardswish": Activation(
        lambda x: x * np.clip(x + 3, 0, 6) / 6,
        lambda x: np.where(np.abs(x) < 3, x / 3 + 0.5, (x > 0).astype(float)),
        (-3.0, 3.0),
    ),
}
"""Every activation that theory is known for, by the name of its site, with the settings that torch begins
with."""


@cache
def moments(op: str, q: float) -> tuple[float, float]:
    """Mean squares of the activation and of its slope, where its input is normal with mean square q.

    Gauss-Legendre on panels that end at the kinks and become finer towards 0, where all that bends bends: a
    ReLU is integrated exactly, and a tanh that is a step at this scale keeps its slope.
    """
    given, scale = ACTIVATIONS[op], math.sqrt(min(max(q, 1e-200), 1e200))
    grid = 2.0 ** np.arange(-3, 1 + math.ceil(math.log2(max(scale, 1) * REACH)))
    ends = np.concatenate([grid, -grid, [0.0], given.kinks]) / max(scale, 1)
    if scale < 1:
        ends = np.concatenate([grid, -grid, [0.0], np.divide(given.kinks, scale)])
    ends = np.unique(np.clip(ends, -REACH, REACH))
    half = np.diff(ends)[:, None] / 2
    z = (ends[:-1, None] + half * (1 + NODES)).ravel()
    weight = (half * WEIGHTS).ravel() * _density(z)
    out, slope = given.f(scale * z), given.slope(scale * z)
    return float(weight @ (out * out)), float(weight @ (slope * slope))


def profile(layers: Sequence[tuple[str, float, float]], q: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Decades that the norm of the signal and that of the gradient gain in each layer, shape (layers,) each.

    A layer is its activation and the variances of the weights and biases behind it; `q` is the mean square of
    the first pre-activation. Positive for the gradient means that it is larger in front of the layer.
    """
    signal, gradient = [], []
    for op, weight, bias in layers:
        out, slope = moments(op, q)
        after = min(max(weight * out + bias, 1e-200), 1e200)
        signal.append(math.log10(after / min(max(q, 1e-200), 1e200)) / 2)
        gradient.append(math.log10(max(weight * slope, 1e-200)) / 2)
        q = after
    return np.array(signal), np.array(gradient)


def gradient_factor(op: str, weight: float, *, bias: float = 0.0, layers: int = 11) -> float:
    """Factor of the gradient's norm by one layer further back, a mean over the first `layers`.

    Inputs are standardised; `weight` and `bias` are variances.
    """
    return 10 ** float(profile([(op, weight, bias)] * layers, weight + bias)[1].mean())


def signal_factor(op: str, weight: float, *, bias: float = 0.0, layers: int = 11) -> float:
    """The same for the root mean square of the pre-activations by one layer further on."""
    return 10 ** float(profile([(op, weight, bias)] * layers, weight + bias)[0].mean())


def trainable_depth(factor: float, decades: float = 3.0) -> float:
    """Layers after which a norm that changes by `factor` in each has changed by so many powers of ten."""
    rate = abs(math.log10(factor)) if factor > 0 else math.inf
    return decades / rate if rate > 1e-9 else math.inf


@cache
def neutral(op: str) -> float | None:
    """Weight variance at which the gradient neither grows nor shrinks within ten layers; None if none does.

    Looked for in [1/2, 8], the range of what anybody draws: a sigmoid keeps its gradient only at variances
    that saturate it.
    """
    low, high = 0.5, 8.0
    if gradient_factor(op, low, layers=10) > 1 or gradient_factor(op, high, layers=10) < 1:
        return None
    while high / low > 1 + 1e-6:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if gradient_factor(op, middle, layers=10) < 1 else (low, middle)
    return math.sqrt(low * high)
