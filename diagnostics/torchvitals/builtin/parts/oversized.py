"""Layers whose outputs are larger than those of any usual initialisation, whatever stands around them."""

import numpy as np

from torchvitals.builtin.parts.chain import WEIGHTED
from torchvitals.core.snapshot import Snapshot, remembered

OFF = 8.0
"""Gain of the mean square over `USUAL` from which a layer is oversized."""
USUAL = 2.0
"""fan_in times mean square weight of He's initialisation, the largest one in use."""


@remembered
def oversized(look: Snapshot) -> dict[str, float]:
    """Site and gain of the weighted sites that make their input's mean square more than `OFF` times what He's
    weights do: first those behind the last normalisation, which nothing makes good, then the others, each
    in the order of their gain.

    The gain is that of the weights. Where they are another module's, as those of a tied head, it is measured
    beside the site before.
    """
    activation, parameter = look["activation"], look["parameter"]
    row = {name: i for i, name in enumerate(parameter.names)}
    square = activation.rms**2
    gains: dict[str, tuple[bool, float]] = {}
    ops = list(map(str, activation["op"]))
    last_norm = max((i for i, op in enumerate(ops) if "Norm" in op), default=-1)
    for i, (site, op) in enumerate(zip(activation.names, ops, strict=True)):
        if op not in WEIGHTED:
            continue
        weight = row.get(f"{site}.weight")
        if weight is not None:
            gain = float(parameter["fan_in"][weight] * parameter.rms[weight] ** 2)
        else:
            gain = float(square[i] / square[i - 1]) if i and "#" not in site and square[i - 1] > 0 else 0.0
        if np.isfinite(gain) and gain > OFF * USUAL:
            gains[site] = (i > last_norm, gain)
    order = sorted(gains, key=lambda site: gains[site], reverse=True)
    return {site: gains[site][1] for site in order}


@remembered
def head(look: Snapshot) -> str | None:
    """The last weighted site, which gives the outputs that the loss is taken of."""
    table = look["activation"]
    weighted = [n for n, op in zip(table.names, table["op"], strict=True) if op in WEIGHTED]
    return weighted[-1] if weighted else None
