"""Networks too deep for how they are wired, and units that are never asked."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify
from sweeps.situations.data import digits, images
from sweeps.situations.networks import Gpt, mlp
from sweeps.situations.recipes import speak
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training


class Tower(nn.Module):
    """Modules `stem`, `blocks.<i>.linear`, `blocks.<i>.norm` if any, and `head`; `gain` scales branches."""

    def __init__(
        self, depth: int, *, skip: bool, width: int = 32, norm: bool = False, act=F.relu, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.skip, self.act, self.gain = skip, act, gain
        self.stem, self.head = nn.Linear(64, width), nn.Linear(width, 10)
        self.blocks = nn.ModuleList()
        for _ in range(depth):
            block = nn.Module()
            block.linear = nn.Linear(width, width)
            block.norm = nn.BatchNorm1d(width) if norm else nn.Identity()
            nn.init.kaiming_normal_(block.linear.weight)
            nn.init.zeros_(block.linear.bias)
            self.blocks.append(block)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            branch = self.gain * self.act(block.norm(block.linear(x)))
            x = x + branch if self.skip else branch
        return self.head(x)


@register.fault(
    "deep-batch-norm-plain", source="F95", codes={"TV202"}, where=("blocks*", "stem"),
    remedies=("model.residual=true",), levels=(Level.BLATANT, Level.MODERATE),
)
def deep_batch_norm_plain(level: Level | None, seed: int) -> Training:
    """50 (moderate: 30) layers with BatchNorm and no skips: gradients grow by a fifth at each layer."""
    torch.manual_seed(seed)
    depth = 30 if level is Level.MODERATE else 50
    skip = level is None
    model = Tower(depth, skip=skip, norm=True, gain=0.2 if skip else 1.0)
    return classify(model, digits(), seed, lr=0.02)


@register.fault(
    "deep-plain-relu", source="F96", codes={"TV103", "TV201"}, where=("blocks*", "head"), onset=(0, 60),
    remedies=("model.residual=true", "model.norm=batch"), levels=(Level.BLATANT, Level.MODERATE),
)
def deep_plain_relu(level: Level | None, seed: int) -> Training:
    """50 (moderate: 30) ReLU layers with He init, no norm, no skips: all inputs look alike at the end."""
    torch.manual_seed(seed)
    depth = 30 if level is Level.MODERATE else 50
    skip = level is None
    model = Tower(depth, skip=skip, gain=0.1 if skip else 1.0)
    return classify(model, digits(), seed, lr=0.02)


@register.fault(
    "deep-plain-tanh", source="F96", codes={"TV103", "TV201"}, where=("blocks*", "stem", "head"),
    onset=(0, 60), remedies=("model.residual=true",), levels=(Level.BLATANT, Level.MODERATE),
)
def deep_plain_tanh(level: Level | None, seed: int) -> Training:
    """40 (moderate: 25) tanh layers with PyTorch's init and no skips."""
    torch.manual_seed(seed)
    depth = 25 if level is Level.MODERATE else 40
    skip = level is None
    model = Tower(depth, skip=skip, act=torch.tanh, gain=0.1 if skip else 1.0)
    if level is not None:
        for block in model.blocks:
            block.linear.reset_parameters()  # type: ignore[union-attr]
    return classify(model, digits(), seed, lr=0.02)


class DeepCnn(nn.Module):
    """Twenty convolutions, with or without skips."""

    def __init__(self, skip: bool) -> None:
        super().__init__()
        self.skip = skip
        self.stem, self.head = nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.Linear(8, 10)
        self.convs = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1) for _ in range(20))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        for conv in self.convs:
            x = x + F.relu(conv(x)) if self.skip else F.relu(conv(x))
        return self.head(x.mean((2, 3)))


@register.fault(
    "deep-plain-cnn", source="F96", codes={"TV103", "TV201", "TV308"}, where=("convs*", "stem", "head"),
    onset=(0, 60), remedies=("model.residual=true", "init=he_normal", "model.norm=batch"),
)
def deep_plain_cnn(level: Level | None, seed: int) -> Training:
    """Twenty convolutions with PyTorch's init, no norm, no skips."""
    torch.manual_seed(seed)
    return classify(DeepCnn(skip=level is None), images(), seed, lr=0.02)


@register.fault(
    "residual-branches-doubled", source="own", codes={"TV104", "TV202"}, where=("blocks*", "head"),
    remedies=("scale branches by 1/sqrt(depth)", "model.norm=batch"), levels=(Level.BLATANT, Level.MODERATE),
)
def residual_branches_doubled(level: Level | None, seed: int) -> Training:
    """Thirty residual blocks without norm, whose branches add twice (moderate: once) their full size."""
    torch.manual_seed(seed)
    gain = {None: 0.1, Level.BLATANT: 2.0, Level.MODERATE: 1.0}[level]
    return classify(Tower(30, skip=True, gain=gain), digits(), seed, lr=0.02)


class NoSkip(nn.Module):
    """A transformer block whose author forgot to add."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.norm1, self.attention, self.norm2 = block.norm1, block.attention, block.norm2
        self.up, self.down = block.up, block.down

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(self.norm2(self.attention(self.norm1(x))))))


@register.fault(
    "gpt-without-skips", source="own", codes={"TV103", "TV201", "TV202"}, where=("blocks*",), onset=(0, 60),
    remedies=("model.residual=true",),
)
def gpt_without_skips(level: Level | None, seed: int) -> Training:
    """A transformer of six blocks without its residual connections."""
    torch.manual_seed(seed)
    model = Gpt(depth=6, width=16, heads=2)
    if level is not None:
        model.blocks = nn.Sequential(*(NoSkip(block) for block in model.blocks))
    return speak(model, seed, size=8)


class Experts(nn.Module):
    """Four small experts, of which a router picks one for each row."""

    def __init__(self, favoured: float) -> None:
        super().__init__()
        self.router = nn.Linear(64, 4)
        self.experts = nn.ModuleList(mlp((64, 3, 10)) for _ in range(4))
        with torch.no_grad():
            self.router.bias[0] += favoured
        self.balance = torch.zeros(())

    def forward(self, x: Tensor) -> Tensor:
        share = self.router(x).softmax(-1)
        weight, choice = share.max(-1, keepdim=True)
        used = F.one_hot(choice.squeeze(-1), 4).float().mean(0)
        self.balance = 4 * (used * share.mean(0)).sum()
        out = x.new_zeros(len(x), 10)
        for number, expert in enumerate(self.experts):
            rows = (choice.squeeze(-1) == number).nonzero().squeeze(-1)
            if len(rows):
                out = out.index_add(0, rows, weight[rows] * expert(x[rows]))
        return out


@register.fault(
    "router-collapses", source="F103", codes={"TV204", "TV101"}, where=("experts.*", "router"), onset=(0, 60),
    remedies=("a loss that balances the experts",),
)
def router_collapses(level: Level | None, seed: int) -> Training:
    """A mixture of experts without a balancing loss sends all rows to one expert, and the others starve."""
    torch.manual_seed(seed)
    model = Experts(favoured=0.0 if level is None else 6.0)

    def loss(net: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        value = F.cross_entropy(net(batch[0]), batch[1])
        return value + 0.1 * model.balance if level is None else value

    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    return classify(model, digits(), seed, optimizer=optimizer, loss=loss, steps=300)
