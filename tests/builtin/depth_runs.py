"""Hand-made looks at nets of plain layers; without it every test of depth would spell out the same tables."""

from collections.abc import Sequence

import numpy as np

from torchvitals.builtin.parts.theory import profile
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.tables import Table
from torchvitals.testing import table

WIDTH = 64


def wide(
    step: int,
    weights: Sequence[float],
    *,
    op: str = "relu",
    bias: float = 0.0,
    loss: float | None = 1.0,
    optimizer: str = "SGD",
    norms: bool = False,
    head: float = 1 / 3,
    jitter: Sequence[float] | float = 0.0,
) -> Snapshot:
    """What theory says of an infinitely wide net: layers `fc0`, `fc1`, ... with these weight variances, an
    activation behind each, and a head.

    `jitter` is added to the decades of each layer's signal and taken from those of its gradient; with `norms`
    a normalisation follows each layer and keeps both at 1, as no theory of plain layers says.
    """
    layers = len(weights)
    signal, gradient = profile([(op, w, bias) for w in (*weights[1:], head)], weights[0])
    if norms:
        signal, gradient = signal * 0, gradient * 0
    square = weights[0] * 10.0 ** (2 * np.concatenate([[0.0], np.cumsum(signal)]))
    norm = 10.0 ** np.concatenate([np.cumsum(gradient[::-1])[::-1], [0.0]])
    change = 10.0 ** np.broadcast_to(jitter, layers + 1)
    names, ops, squares, norms_back = [], [], [], []
    for i in range(layers):
        names += [f"fc{i}", *([f"bn{i}"] if norms else []), f"act{i}"]
        ops += ["Linear", *(["BatchNorm1d"] if norms else []), op]
        squares += [square[i] * change[i] ** 2] * (3 if norms else 2)
        norms_back += [norm[i] / change[i]] * (3 if norms else 2)
    sites, ops = (*names, "head"), (*ops, "Linear")
    squares, norms_back = np.array([*squares, square[-1]]), np.array([*norms_back, norm[-1]])
    count = 100.0 * WIDTH
    return Snapshot(
        step,
        {"lr": 0.1, **({} if loss is None else {"loss": loss})},
        {"optimizer": optimizer},
        {
            "activation": table(
                "activation",
                sites,
                op=ops,
                count=count,
                sum_sq=count * squares,
                spread=count * squares / 2,
                freedom=count,
            ),
            "activation_gradient": table("activation_gradient", sites, op=ops, sum_sq=norms_back**2),
            "parameter": parameters([*weights, head], bias),
        },
    )


def parameters(weights: Sequence[float], bias: float = 0.0) -> Table:
    """Weights with these variances times fan-in, biases with this one."""
    sites = [*(f"fc{i}" for i in range(len(weights) - 1)), "head"]
    names = [f"{site}.{part}" for site in sites for part in ("weight", "bias")]
    fan_in = np.tile([float(WIDTH), 0.0], len(sites))
    count = np.tile([float(WIDTH**2), float(WIDTH)], len(sites))
    square = np.array([[w / WIDTH, bias] for w in weights]).ravel()
    return table("parameter", names, op="Linear", fan_in=fan_in, count=count, sum_sq=count * square)


def forward(
    step: int,
    squares: Sequence[float] | np.ndarray,
    *,
    share: Sequence[float] | np.ndarray | float = 0.5,
    op: str | Sequence[str] = "relu",
    loss: float | None = 1.0,
    optimizer: str = "SGD",
) -> Snapshot:
    """A look at which the outputs of the sites `s0`, `s1`, ... had these mean squares, and the variance over
    samples was that `share` of each.
    """
    squares, count = np.asarray(squares, float), 6400.0
    names = tuple(f"s{i}" for i in range(len(squares)))
    given = table(
        "activation",
        names,
        op=op,
        count=count,
        sum_sq=count * squares,
        spread=count * squares * share,
        freedom=count,
    )
    told = {} if loss is None else {"loss": loss}
    return Snapshot(step, {"lr": 0.1, **told}, {"optimizer": optimizer}, {"activation": given})
