"""Without this file the claims about depth would have no network whose depth is one number."""

import math
from typing import Literal

from torch import Tensor, nn

from models.activations import ActivationFactory
from models.errors import invalid, require_count
from models.networks.layers import dense_layer
from models.networks.shapes import flat_size, require_out_features

BranchScale = float | Literal["inverse_sqrt_depth"]


class MLP(nn.Module):
    """`depth` hidden layers of `width` units, each followed by an activation, then one linear output layer.

    (N, *in_shape) -> (N, out_features); inputs of any shape are flattened. So the network has depth + 1
    weight layers, and depth 0 is linear (or logistic) regression. With `residual`, hidden layers 1 .. depth -
    1 compute h + branch_scale * layer(h); layer 0 changes the width and stays plain. `branch_scale` is a
    number, or "inverse_sqrt_depth" for 1 / sqrt(depth), which keeps the signal's variance bounded at any
    depth. Raises ValueError for sizes, norms, shares or scales that cannot be used.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        *,
        out_features: int,
        activation: ActivationFactory,
        depth: int = 3,
        width: int = 64,
        norm: str = "none",
        residual: bool = False,
        branch_scale: BranchScale = 1.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        require_out_features(out_features)
        require_count("depth", value=depth, minimum=0)
        require_count("width", value=width, minimum=1)
        self.residual = residual
        self.branch_scale = _branch_scale(branch_scale, depth=depth)
        sizes = [flat_size(in_shape), *[width] * depth]
        self.hidden = nn.ModuleList(
            dense_layer(size, width=width, activation=activation, norm=norm, dropout=dropout)
            for size in sizes[:-1]
        )
        self.head = nn.Linear(sizes[-1], out_features)

    def forward(self, x: Tensor) -> Tensor:
        h = x.flatten(1)
        for index, layer in enumerate(self.hidden):
            h = h + self.branch_scale * layer(h) if self.residual and index > 0 else layer(h)
        return self.head(h)


def _branch_scale(scale: BranchScale, *, depth: int) -> float:
    if scale == "inverse_sqrt_depth":
        return 1 / math.sqrt(max(depth, 1))
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not math.isfinite(scale):
        raise invalid("branch_scale", value=scale, choices="a finite number, or 'inverse_sqrt_depth'")
    return float(scale)
