"""Rates that do not fit the optimizer or the net that they are for."""

import torch
from torch import Tensor, nn

from sweeps.situations.blind.sets import pretrained, prose, reviews, wine
from sweeps.situations.common import classify
from sweeps.situations.data import images
from sweeps.situations.networks import Lstm, mlp
from sweeps.situations.recipes import speak
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training

TOO_LARGE = {"TV302", "TV402", "TV407"}
LEVELS = (Level.BLATANT, Level.MODERATE)


@register.fault(
    "fine-tuning-forgets",
    source="F59; own",
    codes={"TV302", "TV402", "TV401"},
    where=("conv*", "norm*"),
    onset=(0, 20),
    remedies=("optimizer.lr=1e-3",),
    levels=LEVELS,
)
def fine_tuning_forgets(level: Level | None, seed: int) -> Training:
    """A pretrained CNN is fine-tuned by AdamW at 0.3 (moderate: 0.06) and loses what it knew in the first
    steps.
    """
    torch.manual_seed(seed)
    model = pretrained()
    lr = {None: 2e-3, Level.BLATANT: 0.3, Level.MODERATE: 0.06}[level]
    return classify(
        model, images(), seed, optimizer=torch.optim.AdamW(model.parameters(), lr=lr), size=32, steps=120
    )


class Gru(nn.Module):
    """Modules `words`, `gru`, `head`; reads as far as the padding and answers from its last state."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.words = nn.Embedding(40, width, padding_idx=0)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        out, _ = self.gru(self.words(tokens))
        last = (tokens > 0).sum(1) - 1
        return self.head(out[torch.arange(len(tokens)), last])


@register.fault(
    "rmsprop-rate-high-gru",
    source="F59",
    codes=TOO_LARGE,
    onset=(0, 40),
    remedies=("optimizer.lr=3e-3",),
    levels=(*LEVELS, Level.SUBTLE),
)
def rmsprop_rate_high_gru(level: Level | None, seed: int) -> Training:
    """A GRU classifier under RMSprop at 1 (moderate: 0.3, subtle: 0.1), which was read as if it were SGD."""
    torch.manual_seed(seed)
    model = Gru()
    lr = {None: 5e-3, Level.BLATANT: 1.0, Level.MODERATE: 0.3, Level.SUBTLE: 0.1}[level]
    return classify(model, reviews(), seed, optimizer=torch.optim.RMSprop(model.parameters(), lr=lr))


@register.fault(
    "adagrad-rate-low",
    source="F60",
    codes={"TV303"},
    remedies=("optimizer.lr=0.03",),
    levels=LEVELS,
)
def adagrad_rate_low(level: Level | None, seed: int) -> Training:
    """Adagrad, whose steps only ever become smaller, at the 1e-5 (moderate: 3e-4) of somebody's AdamW."""
    torch.manual_seed(seed)
    model = mlp((13, 32, 32, 3), act=nn.ELU)
    lr = {None: 0.03, Level.BLATANT: 1e-5, Level.MODERATE: 3e-4}[level]
    return classify(model, wine(), seed, optimizer=torch.optim.Adagrad(model.parameters(), lr=lr), size=32)


@register.fault(
    "sgd-at-the-rate-of-adam",
    source="F60; SO 59106542",
    codes={"TV303"},
    remedies=("optimizer.lr=1.0",),
)
def sgd_at_the_rate_of_adam(level: Level | None, seed: int) -> Training:
    """Adam was replaced by plain SGD in the training of an LSTM, and its rate of 3e-4 was left."""
    torch.manual_seed(seed)
    model = Lstm(27)
    lr = 2.0 if level is None else 3e-4
    return speak(model, seed, data=prose(), optimizer=torch.optim.SGD(model.parameters(), lr=lr))
