"""TheDeepChecker's checks of the units of a layer."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from sweeps.scorecard.peers.look import BOUNDED, Layer
from sweeps.scorecard.peers.rules import Said

DEAD_OUTPUT, DEAD_PERCENTILE = 1e-5, 0.95
"""a unit is dead if its output is that small for that part of the samples"""
RHO = 0.85
"""mean distance of a sigmoid or tanh from its middle, of at most 1, above which a unit is saturated"""
LAYER_SHARE = 0.5
"""part of a layer's units"""
SPREADS, F_CRITICAL = (0.5, 2.0), 5.0239
"""standard deviations of healthy activations, and the ratio of variances beyond them that counts"""


def activates(layer: Layer) -> bool:
    """Whether it is an activation of torch's, other than softmax."""
    return type(layer.module).__module__ == nn.ReLU.__module__ and not isinstance(layer.module, nn.Softmax)


def units(layer: Layer) -> Iterator[Said]:
    """Units are the last dimension, or the channels of images."""
    out = layer.output.movedim(1, -1) if layer.output.dim() == 4 else layer.output
    out = out.reshape(-1, out.shape[-1]).float()
    if isinstance(layer.module, BOUNDED):
        if _part(distance(out, layer.module) > RHO) > LAYER_SHARE:
            yield Said("saturated activations", (layer.path,), "saturated")
    else:
        major = torch.quantile(out[:4096].abs(), DEAD_PERCENTILE, dim=0)
        if _part(major < DEAD_OUTPUT) > LAYER_SHARE:
            yield Said("dead activations", (layer.path,), "dead")
    spread = out.std(correction=0).item()
    if spread < SPREADS[0] / F_CRITICAL**0.5 or spread > SPREADS[1] * F_CRITICAL**0.5:
        yield Said("unstable activations", (layer.path,), f"standard deviation {spread:.2g}")


def _part(where: Tensor) -> float:
    return where.float().mean().item()


def distance(out: Tensor, module: nn.Module) -> Tensor:
    """Of each unit the mean distance from the middle of its range, 1 being its ends.

    The histogram of its paper gives the same, as the middle is the edge of a bin.
    """
    return (2 * out - 1 if isinstance(module, nn.Sigmoid) else out).abs().mean(0)
