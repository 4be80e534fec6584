"""Image classifiers of newer make, and one upon features that are frozen."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.blind.sets import centres, pretrained
from sweeps.situations.common import classify, regress
from sweeps.situations.data import images
from sweeps.situations.situation import register
from sweeps.situations.training import Training, clipped


class Scaled(nn.Module):
    """A ConvNeXt block: modules `mix`, `norm`, `up`, `down`, and a factor `scale` for its branch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.norm, self.up = nn.LayerNorm(width), nn.Linear(width, 4 * width)
        self.down, self.scale = nn.Linear(4 * width, width), nn.Parameter(1e-6 * torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.mix(x).permute(0, 2, 3, 1))
        return x + (self.scale * self.down(F.gelu(self.up(h)))).permute(0, 3, 1, 2)


@register.control("layer-scale-of-a-millionth", source="H13; own")
def layer_scale_of_a_millionth(seed: int) -> Training:
    """Three ConvNeXt blocks whose branches begin with a factor of 10⁻⁶, as their authors' did."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(1, 16, 2, 2), *(Scaled(16) for _ in range(3)))
    model.append(nn.AdaptiveAvgPool2d(1)).append(nn.Flatten()).append(nn.LayerNorm(16)).append(
        nn.Linear(16, 10)
    )
    adam = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.05)
    warm = torch.optim.lr_scheduler.LinearLR(adam, 0.05, total_iters=15)
    return classify(model, images(), seed, optimizer=adam, size=48, iterate=clipped(1.0), scheduler=warm)


@register.control("where-is-the-shape", source="own")
def where_is_the_shape(seed: int) -> Training:
    """Two coordinates by a CNN and a smooth absolute error."""
    torch.manual_seed(seed)
    data = centres()
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.Flatten(),
        nn.Linear(144, 32), nn.ReLU(), nn.Linear(32, 2),
    )  # fmt: skip

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return F.smooth_l1_loss(model(batch[0]), batch[1], beta=0.1)

    adam = torch.optim.Adam(model.parameters(), lr=2e-3)
    return regress(model, data, seed, optimizer=adam, loss=loss, size=32)


@register.control("frozen-backbone-deep-head", source="H10; own")
def frozen_backbone_deep_head(seed: int) -> Training:
    """A pretrained backbone in eval mode under `no_grad`, and a head of two layers with dropout upon it."""
    torch.manual_seed(seed)
    model = Headed()
    adam = torch.optim.Adam(model.head.parameters(), lr=5e-3)
    return classify(model, images(), seed, optimizer=adam)


class Headed(nn.Module):
    """Modules `backbone`, frozen, and `head`."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = pretrained().requires_grad_(requires_grad=False)
        self.backbone.head = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
        self.head = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10))

    def forward(self, x: Tensor) -> Tensor:
        self.backbone.eval()
        with torch.no_grad():
            features = self.backbone(x)
        return self.head(features)


class Mixer(nn.Module):
    """Modules `norms.<i>`, `tokens.<i>`, `channels.<i>`, in turn over 16 patches and 24 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.head = nn.Conv2d(1, 24, 2, 2), nn.Linear(24, 10)
        self.norms = nn.ModuleList(nn.LayerNorm(24) for _ in range(4))
        self.tokens = nn.ModuleList(_two(16, 32) for _ in range(2))
        self.channels = nn.ModuleList(_two(24, 48) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        for i, (tokens, channels) in enumerate(zip(self.tokens, self.channels, strict=True)):
            x = x + tokens(self.norms[2 * i](x).transpose(1, 2)).transpose(1, 2)
            x = x + channels(self.norms[2 * i + 1](x))
        return self.head(x.mean(1))


def _two(width: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))


@register.control("mlp-mixer", source="own")
def mlp_mixer(seed: int) -> Training:
    """Perceptrons over places and over channels in turn, under AdamW with a cosine."""
    torch.manual_seed(seed)
    model = Mixer()
    adam = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adam, 250)
    return classify(model, images(), seed, optimizer=adam, size=48, steps=250, scheduler=cosine)
