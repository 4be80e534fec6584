"""Without this file each network would spell out linear, norm, activation and dropout under other names."""

from collections import OrderedDict

from torch import nn

from models.activations import ActivationFactory
from models.errors import require_choice, require_share

NORMS = ("none", "batch", "layer")


def dense_layer(
    in_features: int, *, width: int, activation: ActivationFactory, norm: str = "none", dropout: float = 0.0
) -> nn.Sequential:
    """Linear, then norm, activation and dropout, as submodules `linear`, `norm`, `act`, `dropout`.

    Parts that are switched off are left out. (N, in_features) -> (N, width). Raises ValueError for an unknown
    norm or a dropout outside [0, 1).
    """
    require_choice("norm", value=norm, choices=NORMS)
    parts: OrderedDict[str, nn.Module] = OrderedDict(
        linear=nn.Linear(in_features, width, bias=norm != "batch")
    )
    if norm != "none":
        parts["norm"] = nn.BatchNorm1d(width) if norm == "batch" else nn.LayerNorm(width)
    parts["act"] = activation()
    if dropout_layer := optional_dropout(dropout):
        parts["dropout"] = dropout_layer
    return nn.Sequential(parts)


def optional_dropout(share: float) -> nn.Dropout | None:
    """A dropout layer, or None where nothing is dropped. Raises ValueError for a share outside [0, 1)."""
    require_share("dropout", value=share)
    return nn.Dropout(share) if share > 0 else None


def conv_norm(norm: str, *, channels: int) -> nn.Module | None:
    """Norm of (N, channels, H, W): batch norm, layer norm over channels and space, or None for `none`."""
    require_choice("norm", value=norm, choices=NORMS)
    if norm == "none":
        return None
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.GroupNorm(1, channels)
