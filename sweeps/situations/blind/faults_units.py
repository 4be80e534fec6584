"""Activations that are left out, sit at their ends, or are driven there."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify
from sweeps.situations.data import digits, images, split
from sweeps.situations.networks import Cnn, mlp
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training


class Forgetful(nn.Module):
    """Modules `first`, `second`, `third`."""

    def __init__(self, *, thrown_away: bool) -> None:
        super().__init__()
        self.thrown_away = thrown_away
        self.first, self.second, self.third = nn.Linear(2, 48), nn.Linear(48, 48), nn.Linear(48, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        active = F.relu(x)
        x = self.second(x if self.thrown_away else active)
        active = F.relu(x)
        return self.third(x if self.thrown_away else active)


@register.fault(
    "activation-thrown-away",
    source="F18; own",
    codes={"TV403"},
    where=("first", "second", "third", ""),
    onset=(0, 399),
    remedies=("x = F.relu(x)",),
)
def activation_thrown_away(level: Level | None, seed: int) -> Training:
    """`F.relu(x)` stands on lines of its own and nobody uses its result: the net is linear, and the task, a
    board of chess, is not.
    """
    torch.manual_seed(seed)
    model = Forgetful(thrown_away=level is not None)
    x = 4 * torch.rand(2000, 2, generator=torch.Generator().manual_seed(43)) - 2
    board = split(x, x.floor().sum(1).long() % 2)
    adam = torch.optim.Adam(model.parameters(), lr=0.01)
    return classify(model, board, seed, optimizer=adam, steps=400)


@register.fault(
    "hardtanh-of-large-weights",
    source="F04; own",
    codes={"TV102", "TV308", "TV201"},
    where=("hidden*",),
    remedies=("init=xavier_normal",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def hardtanh_of_large_weights(level: Level | None, seed: int) -> Training:
    """Hard tanh, whose slope is 0 beyond 1, behind weights from N(0, 2²) (moderate: N(0, 1))."""
    torch.manual_seed(seed)
    std = {None: 0.13, Level.BLATANT: 2.0, Level.MODERATE: 1.0}[level]
    model = mlp((64, 64, 64, 64, 10), act=nn.Hardtanh, init=lambda w: nn.init.normal_(w, std=std))
    return classify(model, digits(), seed, lr=0.02)


@register.fault(
    "one-batch-unscaled",
    source="own",
    codes={"TV501", "TV502", "TV401"},
    onset=(60, 75),
    remedies=("prepare all files the same way",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def one_batch_unscaled(level: Level | None, seed: int) -> Training:
    """One file of the set was never scaled: batch 60 is 1,000 (moderate: 60) times as large as all others,
    and leaves a CNN of which little is alive.
    """
    torch.manual_seed(seed)
    model = Cnn()
    training = classify(model, images(), seed)
    usual = training.batch
    factor = {None: 1.0, Level.BLATANT: 1000.0, Level.MODERATE: 60.0}[level]

    def batch(step: int) -> tuple[Tensor, Tensor]:
        x, y = usual(step)
        return (factor * x, y) if step == 60 else (x, y)

    training.batch = batch
    return training
