"""Transformers whose feed-forward layers or logits are spoilt."""

import torch
from torch import Tensor, nn

from sweeps.situations.common import cross_entropy
from sweeps.situations.data import split
from sweeps.situations.networks import Block, Gpt
from sweeps.situations.recipes import speak
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training

TWO = (Level.BLATANT, Level.MODERATE)


@register.fault(
    "feed-forward-scaled",
    source="F125",
    codes={"TV308", "TV104"},
    where=("blocks.*.up", "blocks.*.down"),
    remedies=("init=xavier_normal",),
    levels=TWO,
)
def feed_forward_scaled(level: Level | None, seed: int) -> Training:
    """Feed-forward weights are 20 (moderate: 5) times too large in a transformer without a last norm, and
    drown the stream that they add to.
    """
    torch.manual_seed(seed)
    model = Gpt()
    model.add_module("norm", nn.Identity())
    factor = {None: 1.0, Level.BLATANT: 20.0, Level.MODERATE: 5.0}[level]
    with torch.no_grad():
        for block in model.blocks:
            assert isinstance(block, Block)
            block.up.weight.mul_(factor)
            block.down.weight.mul_(factor)
    return speak(model, seed)


@register.fault(
    "feed-forward-dead",
    source="F126",
    codes={"TV101", "TV204"},
    where=("blocks.*.up", "blocks.*.down"),
    remedies=("bias 0",),
)
def feed_forward_dead(level: Level | None, seed: int) -> Training:
    """Biases of -20 in front of each GELU: no hidden unit of the feed-forward layer ever fires, and what is
    not linear in the tokens, here a sum modulo 7, is left to attention.
    """
    torch.manual_seed(seed)
    tokens = torch.randint(0, 7, (2000, 8), generator=torch.Generator().manual_seed(13))
    data = split(tokens, (tokens + tokens[:, :1]) % 7)
    model = Gpt(7, 8, depth=1, width=16)
    if level is not None:
        for block in model.blocks:
            assert isinstance(block, Block)
            nn.init.constant_(block.up.bias, -20.0)
    return speak(model, seed, data=data, size=32)


@register.fault(
    "logits-scaled",
    source="F132",
    codes={"TV404", "TV308"},
    where=("head", ""),
    remedies=("no such factor",),
    levels=TWO,
)
def logits_scaled(level: Level | None, seed: int) -> Training:
    """Logits are multiplied by 50 (moderate: 5): the first loss is far above that of guessing."""
    torch.manual_seed(seed)
    factor = {None: 1.0, Level.BLATANT: 50.0, Level.MODERATE: 5.0}[level]

    class Loud(Gpt):
        def forward(self, tokens: Tensor) -> Tensor:
            return factor * super().forward(tokens)

    return speak(Loud(), seed, loss=cross_entropy)


@register.fault(
    "rare-logits-zeroed",
    source="F133",
    codes={"TV101", "TV204"},
    where=("head", ""),
    onset=(0, 199),
    remedies=("let all classes have logits",),
)
def rare_logits_zeroed(level: Level | None, seed: int) -> Training:
    """The logits of half of the classes are 0 for ever: they can neither be predicted nor ruled out."""
    torch.manual_seed(seed)
    kept = (torch.arange(32) >= (0 if level is None else 16)).float()

    class Silenced(Gpt):
        def forward(self, tokens: Tensor) -> Tensor:
            return kept * super().forward(tokens)

    return speak(Silenced(), seed)
