"""Without this file the claims could not be asked of convolutions: a plain stack of 3x3 convolutions."""

from collections import OrderedDict

from torch import Tensor, nn

from models.activations import ActivationFactory
from models.errors import require_count
from models.networks.layers import conv_norm, optional_dropout
from models.networks.shapes import image_shape, require_out_features

_POOLED_LAYERS = 2


class CNN(nn.Module):
    """`depth` convolutions (3x3, `width` channels, size kept), each followed by an activation, then a linear
    layer.

    (N, channels, height, width) -> (N, out_features). So there are depth + 1 weight layers. The first two
    layers end in a 2x2 max pool, so pictures need at least 4 pixels a side. Raises ValueError for sizes,
    norms or shares that cannot be used.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        *,
        out_features: int,
        activation: ActivationFactory,
        depth: int = 3,
        width: int = 16,
        norm: str = "none",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        require_out_features(out_features)
        require_count("depth", value=depth, minimum=1)
        require_count("width", value=width, minimum=1)
        channels, height, breadth = image_shape(in_shape)
        pools = min(depth, _POOLED_LAYERS)
        self.hidden = nn.ModuleList(
            _conv_layer(
                width if index else channels,
                width=width,
                activation=activation,
                norm=norm,
                pool=index < pools,
            )
            for index in range(depth)
        )
        self.dropout = optional_dropout(dropout)
        self.head = nn.Linear(width * (height >> pools) * (breadth >> pools), out_features)

    def forward(self, x: Tensor) -> Tensor:
        h = x
        for layer in self.hidden:
            h = layer(h)
        h = h.flatten(1)
        return self.head(h if self.dropout is None else self.dropout(h))


def _conv_layer(
    channels: int, *, width: int, activation: ActivationFactory, norm: str, pool: bool
) -> nn.Sequential:
    parts: OrderedDict[str, nn.Module] = OrderedDict(
        conv=nn.Conv2d(channels, width, 3, padding=1, bias=norm != "batch")
    )
    if norm_layer := conv_norm(norm, channels=width):
        parts["norm"] = norm_layer
    parts["act"] = activation()
    if pool:
        parts["pool"] = nn.MaxPool2d(2)
    return nn.Sequential(parts)
