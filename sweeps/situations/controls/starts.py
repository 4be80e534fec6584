"""Starts that look wrong and are meant: zeros, identities, biases and scales of a purpose."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify, loss_on_test, regress
from sweeps.situations.data import Data, cancer, digits, images, teacher
from sweeps.situations.networks import Block, Cnn, Gpt, mlp
from sweeps.situations.recipes import speak
from sweeps.situations.residual import Residual, ResNet
from sweeps.situations.situation import register
from sweeps.situations.training import Training


class ReZero(nn.Module):
    """A layer beside a skip, times a number that begins at 0: modules `linear`, parameter `alpha`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear, self.alpha = nn.Linear(width, width), nn.Parameter(torch.zeros(1))
        nn.init.kaiming_normal_(self.linear.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.alpha * F.relu(self.linear(x))


@register.control("rezero", source="H13")
def rezero(seed: int) -> Training:
    """Twelve residual layers with factors of 0: at the first step no gradient reaches their weights."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 48), *(ReZero(48) for _ in range(12)), nn.Linear(48, 10))
    return classify(model, digits(), seed, optimizer=torch.optim.Adam(model.parameters(), lr=3e-3))


@register.control("fixup", source="H14")
def fixup(seed: int) -> Training:
    """A ResNet without norms: last convolutions and head of 0, the others scaled down with the depth."""
    torch.manual_seed(seed)
    model = ResNet(depth=4, norm=False)
    nn.init.zeros_(model.head.weight)
    for block in model.blocks:
        assert isinstance(block, Residual)
        nn.init.kaiming_normal_(block.conv1.weight).data.mul_(len(model.blocks) ** -0.5)
        nn.init.zeros_(block.conv2.weight)
    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    return classify(model, images(), seed, optimizer=adam, steps=300)


@register.control("zero-gamma", source="H14")
def zero_gamma(seed: int) -> Training:
    """A ResNet whose last batch norm of each block begins with a gain of 0."""
    torch.manual_seed(seed)
    model = ResNet()
    for block in model.blocks:
        assert isinstance(block, Residual)
        nn.init.zeros_(block.norm2.weight)  # pyright: ignore[reportArgumentType]
    return classify(model, images(), seed, lr=0.1)


class Modulated(nn.Module):
    """A block whose norm and gate a condition sets, by a linear layer that begins at 0."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.condition = nn.Linear(width, 3 * width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        nn.init.zeros_(self.condition.weight)
        nn.init.zeros_(self.condition.bias)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift, scale, gate = self.condition(F.silu(c)).chunk(3, -1)
        return x + gate * self.down(F.gelu(self.up(self.norm(x) * (1 + scale) + shift)))


class Denoiser(nn.Module):
    """Tells the noise in digits, knowing how much there is; its last layer begins at 0, too."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.enter, self.time = nn.Linear(64, width), nn.Linear(1, width)
        self.blocks = nn.ModuleList(Modulated(width) for _ in range(3))
        self.head = nn.Linear(width, 64)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        x, c = self.enter(x[:, :64]), self.time(x[:, 64:])
        for block in self.blocks:
            x = block(x, c)
        return self.head(x)


def _noised(x: Tensor) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(len(x))
    x = x.repeat(4, 1)
    noise, much = torch.randn(x.shape, generator=draw), torch.rand(len(x), 1, generator=draw)
    return torch.cat([(1 - much).sqrt() * x + much.sqrt() * noise, much], 1), noise


@register.control("adaln-zero-diffusion", source="H16")
def adaln_zero(seed: int) -> Training:
    """A diffusion model whose blocks are conditioned by adaLN-zero: at the start it says 0 and its loss is
    1.
    """
    torch.manual_seed(seed)
    model, data = Denoiser(), digits()
    noised = Data(*_noised(data.x), *_noised(data.x_test))
    adam = torch.optim.AdamW(model.parameters(), lr=2e-3)
    return regress(model, noised, seed, optimizer=adam, size=128, steps=400)


@register.control("zero-residual-projections", source="H16")
def zero_residual_projections(seed: int) -> Training:
    """A transformer whose branches end in projections that begin at 0."""
    torch.manual_seed(seed)
    model = Gpt()
    for block in model.blocks:
        assert isinstance(block, Block)
        nn.init.zeros_(block.attention.out.weight)
        nn.init.zeros_(block.down.weight)
    return speak(model, seed)


@register.control("zero-head", source="own")
def zero_head(seed: int) -> Training:
    """The last layer begins at 0, so that all classes are equally likely and the layers below wait for a
    step.
    """
    torch.manual_seed(seed)
    model = Cnn()
    nn.init.zeros_(model.head.weight)
    nn.init.zeros_(model.head.bias)
    return classify(model, images(), seed, optimizer=torch.optim.Adam(model.parameters(), lr=5e-3))


@register.control("prior-bias", source="own")
def prior_bias(seed: int) -> Training:
    """A rare class, and a bias of the only output that says so from the start."""
    torch.manual_seed(seed)
    data = digits()
    model = mlp((64, 64, 1))
    head = model.get_submodule("head")
    nn.init.normal_(head.weight, std=0.01)  # pyright: ignore[reportArgumentType]
    nn.init.constant_(head.bias, math.log(0.1 / 0.9))  # pyright: ignore[reportArgumentType]

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return F.binary_cross_entropy_with_logits(model(batch[0])[:, 0], (batch[1] == 3).float())

    return classify(model, data, seed, loss=loss, score=loss_on_test(data, loss), lr=0.05)


@register.control("mean-bias", source="own")
def mean_bias(seed: int) -> Training:
    """Targets around 500, and a last bias that begins at their mean."""
    torch.manual_seed(seed)
    data = teacher()
    shifted = Data(data.x, data.y + 500, data.x_test, data.y_test + 500)
    model = mlp((16, 64, 64, 1))
    nn.init.constant_(model.get_submodule("head").bias, 500.0)  # pyright: ignore[reportArgumentType]
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return regress(model, shifted, seed, optimizer=adam, steps=300)


@register.control("mu-p", source="H62")
def mu_p(seed: int) -> Training:
    """Widths scaled as by muP: weights, head and learning rates of Adam by the width, none of them He's."""
    torch.manual_seed(seed)
    width, base = 128, 32
    model = mlp((64, width, width, 10), init=lambda w: nn.init.normal_(w, std=w.shape[1] ** -0.5))
    nn.init.normal_(model.get_submodule("head").weight, std=1 / width)  # pyright: ignore[reportArgumentType]
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "hidden.0" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim == 1 or "hidden.0" in name]
    groups = [{"params": matrices, "lr": 4e-3 * base / width}, {"params": others, "lr": 4e-3}]
    return classify(model, digits(), seed, optimizer=torch.optim.Adam(groups))


@register.control("equal-logits-start", source="own")
def equal_logits_start(seed: int) -> Training:
    """A wide two-class net whose head begins so small that its loss is ln 2 to four digits."""
    torch.manual_seed(seed)
    model = mlp((30, 64, 2))
    nn.init.normal_(model.get_submodule("head").weight, std=1e-3)  # pyright: ignore[reportArgumentType]
    return classify(model, cancer(), seed, lr=0.02)
