"""Networks too deep for how they are wired."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify
from sweeps.situations.data import digits, images
from sweeps.situations.networks import Block, Gpt
from sweeps.situations.recipes import speak
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training

Act = Callable[[Tensor], Tensor]


class TowerBlock(nn.Module):
    """A linear layer with He's init, and its norm."""

    def __init__(self, width: int, norm: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.norm = nn.BatchNorm1d(width) if norm else nn.Identity()
        nn.init.kaiming_normal_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.linear(x))


class Tower(nn.Module):
    """Modules `stem`, `blocks.<i>.linear`, `blocks.<i>.norm` if any, `head`; `gain` scales branches."""

    def __init__(
        self,
        depth: int,
        *,
        skip: bool,
        width: int = 32,
        norm: bool = False,
        act: Act = F.relu,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.skip, self.act, self.gain = skip, act, gain
        self.stem, self.head = nn.Linear(64, width), nn.Linear(width, 10)
        self.blocks = nn.ModuleList(TowerBlock(width, norm) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            branch = self.gain * self.act(block(x))
            x = x + branch if self.skip else branch
        return self.head(x)


@register.fault(
    "deep-batch-norm-plain",
    source="F95",
    codes={"TV202"},
    where=("blocks*", "stem"),
    remedies=("model.residual=true",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def deep_batch_norm_plain(level: Level | None, seed: int) -> Training:
    """50 (moderate: 30) layers with BatchNorm and no skips: gradients grow by a fifth at each layer."""
    torch.manual_seed(seed)
    depth = 30 if level is Level.MODERATE else 50
    skip = level is None
    model = Tower(depth, skip=skip, norm=True, gain=0.2 if skip else 1.0)
    return classify(model, digits(), seed, lr=0.02, steps=120)


@register.fault(
    "deep-plain-relu",
    source="F96",
    codes={"TV103", "TV201"},
    where=("blocks*", "head"),
    onset=(0, 60),
    remedies=("model.residual=true", "model.norm=batch"),
    levels=(Level.BLATANT, Level.MODERATE),
)
def deep_plain_relu(level: Level | None, seed: int) -> Training:
    """50 (moderate: 30) ReLU layers with He init, no norm, no skips: all inputs look alike at the end."""
    torch.manual_seed(seed)
    depth = 30 if level is Level.MODERATE else 50
    skip = level is None
    model = Tower(depth, skip=skip, gain=0.1 if skip else 1.0)
    return classify(model, digits(), seed, lr=0.02, steps=120)


@register.fault(
    "deep-plain-tanh",
    source="F96",
    codes={"TV103", "TV201"},
    where=("blocks*", "stem", "head"),
    onset=(0, 60),
    remedies=("model.residual=true",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def deep_plain_tanh(level: Level | None, seed: int) -> Training:
    """40 (moderate: 25) tanh layers with PyTorch's init and no skips."""
    torch.manual_seed(seed)
    depth = 25 if level is Level.MODERATE else 40
    skip = level is None
    model = Tower(depth, skip=skip, act=torch.tanh, gain=0.1 if skip else 1.0)
    if level is not None:
        for block in model.blocks:
            assert isinstance(block, TowerBlock)
            block.linear.reset_parameters()
    return classify(model, digits(), seed, lr=0.02)


class DeepCnn(nn.Module):
    """Twenty convolutions, with or without skips."""

    def __init__(self, skip: bool) -> None:
        super().__init__()
        self.skip = skip
        self.stem, self.head = nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.Linear(16, 10)
        self.convs = nn.ModuleList(nn.Conv2d(16, 16, 3, padding=1) for _ in range(20))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        for conv in self.convs:
            x = x + 0.3 * F.relu(conv(x)) if self.skip else F.relu(conv(x))
        return self.head(x.mean((2, 3)))


@register.fault(
    "deep-plain-cnn",
    source="F96",
    codes={"TV103", "TV201", "TV308"},
    where=("convs*", "stem", "head"),
    onset=(0, 60),
    remedies=("model.residual=true", "init=he_normal", "model.norm=batch"),
)
def deep_plain_cnn(level: Level | None, seed: int) -> Training:
    """Twenty convolutions with PyTorch's init, no norm, no skips."""
    torch.manual_seed(seed)
    return classify(DeepCnn(skip=level is None), images(), seed, size=32)


@register.fault(
    "residual-branches-doubled",
    source="own",
    codes={"TV104", "TV202"},
    where=("blocks*", "head"),
    remedies=("scale branches by 1/sqrt(depth)", "model.norm=batch"),
    levels=(Level.BLATANT, Level.MODERATE),
)
def residual_branches_doubled(level: Level | None, seed: int) -> Training:
    """Thirty residual blocks without norm, whose branches add twice (moderate: once) their full size."""
    torch.manual_seed(seed)
    gain = {None: 0.1, Level.BLATANT: 2.0, Level.MODERATE: 1.0}[level]
    return classify(Tower(30, skip=True, gain=gain), digits(), seed, lr=0.02)


class NoSkip(Block):
    """A transformer block whose author forgot to add."""

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(self.norm2(self.attention(self.norm1(x))))))


@register.fault(
    "gpt-without-skips",
    source="own",
    codes={"TV103", "TV201", "TV202"},
    where=("blocks*",),
    onset=(0, 60),
    remedies=("model.residual=true",),
)
def gpt_without_skips(level: Level | None, seed: int) -> Training:
    """A transformer of six blocks without its residual connections."""
    torch.manual_seed(seed)
    model = Gpt(depth=6, width=16, heads=2)
    if level is not None:
        model.blocks = nn.Sequential(*(NoSkip(16, 2) for _ in range(6)))
    return speak(model, seed, size=8)
