"""The plain part of a network: layers that stand one behind the other, of which theory can speak."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from torchvitals.builtin.parts.theory import ACTIVATIONS, profile
from torchvitals.core.snapshot import Snapshot, remembered
from torchvitals.core.tables import Table

WEIGHTED = ("Linear", "Conv1d", "Conv2d", "Conv3d")
"""Modules whose outputs are sums of `fan_in` products."""
POOLS = ("MaxPool", "AvgPool", "AdaptiveMaxPool", "AdaptiveAvgPool")
"""Modules that leave the scale about as it is."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A weighted site and what was measured at it."""

    site: str
    op: str
    """activation in front of it, "linear" where there is none"""
    weight: float
    """fan-in times the mean square of the weights: what theory calls sigma_w^2"""
    bias: float
    """mean square of the biases, 0 where there are none"""
    out: float
    """mean square of what it gave"""
    gradient: float
    """norm of the gradient of the loss by what it gave; 0 where none came back"""


@dataclass(frozen=True)
class Chain:
    """Layers of which each takes what the one before it gave, by way of at most one activation."""

    layers: tuple[Layer, ...] = ()

    @staticmethod
    @remembered
    def of(look: Snapshot) -> "Chain":
        """The longest one of the net, without the last weighted site, which is free to start at any scale.

        Whatever else than an activation or a pool stands between two layers ends a chain: a normalisation
        would undo what theory predicts. So does a width that does not fit, since then the two are branches.
        Weights that are called several times in a pass are a loop, of which nothing is said here.
        """
        activation, parameter = look["activation"], look["parameter"]
        ends = [
            n for n, op in zip(activation.names, activation["op"].tolist(), strict=True) if op in WEIGHTED
        ]
        if any("#" in name for name in ends):
            return Chain()
        runs = list(_runs(activation, parameter, look.tables.get("activation_gradient")))
        kept = [tuple(layer for layer in run if layer.site != ends[-1]) for run in runs]
        return Chain(max(kept, key=len, default=()))

    def __len__(self) -> int:
        return len(self.layers)

    @property
    def changes(self) -> list[tuple[str, float, float]]:
        """Activation, weight and bias variance of every layer but the first, as `theory.profile` takes it."""
        return [(layer.op, layer.weight, layer.bias) for layer in self.layers[1:]]

    @property
    def signal(self) -> float:
        """Decades that the root mean square gained from the first layer to the last."""
        return float(np.log10(self.layers[-1].out / self.layers[0].out) / 2)

    @property
    def gradient(self) -> float | None:
        """Decades that the gradient's norm gained from the last layer to the first; None if it was cut."""
        first, last = self.layers[0].gradient, self.layers[-1].gradient
        return float(np.log10(first / last)) if first > 0 and last > 0 else None

    def predicted(self, weights: Sequence[float] | None = None) -> tuple[float, float]:
        """Signal and gradient as theory has them, with the weights as they are or with these and no bias."""
        changes = self.changes
        if weights is not None:
            changes = [(op, w, 0.0) for (op, _, _), w in zip(changes, weights, strict=True)]
        signal, gradient = profile(changes, self.layers[0].out)
        return float(signal.sum()), float(gradient.sum())


def _runs(activation: Table, parameter: Table, gradients: Table | None) -> Iterator[list[Layer]]:
    row = {name: i for i, name in enumerate(parameter.names)}
    back = {} if gradients is None else dict(zip(gradients.names, gradients.norm, strict=True))
    sound, whole = _sound(activation), _sound(parameter)
    run: list[Layer] = []
    op, width = "linear", 0.0
    for i, (site, kind) in enumerate(zip(activation.names, activation["op"].tolist(), strict=True)):
        weight = row.get(f"{site}.weight")
        if kind in ACTIVATIONS and op == "linear":
            op = kind
        elif kind in WEIGHTED and weight is not None and sound[i] and whole[weight]:
            fan_in = parameter["fan_in"][weight]
            if run and fan_in % width:
                yield run
                run = []
            bias = row.get(f"{site}.bias")
            run.append(
                Layer(
                    site=site,
                    op=op,
                    weight=float(fan_in * parameter.rms[weight] ** 2),
                    bias=float(parameter.rms[bias] ** 2) if bias is not None else 0.0,
                    out=float(activation.rms[i] ** 2),
                    gradient=float(back.get(site, 0.0)),
                )
            )
            op, width = "linear", parameter["count"][weight] / fan_in
        elif not kind.startswith(POOLS):
            yield run
            run, op = [], "linear"
    yield run


def _sound(table: Table) -> list[bool]:
    """Whether each row is finite and not all 0; of nothing theory has nothing to say."""
    square = table["sum_sq"]
    sound = (table["nonfinite"] == 0) & (square > 0) & (square < np.inf) & (table["count"] > 0)
    return sound.tolist()
