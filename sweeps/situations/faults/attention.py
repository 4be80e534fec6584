"""Attention that looks where it must not, or not where it should."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.data import language
from sweeps.situations.networks import Attention, Gpt
from sweeps.situations.recipes import recall, speak
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training


class Wired(Attention):
    """Attention with a mask of its own (True where a place may look), a factor and dropout on its scores."""

    def __init__(self, width: int, heads: int, allowed: Tensor, *, factor: float = 1.0, noise: float = 0.0):
        super().__init__(width, heads)
        self.allowed, self.factor, self.noise = allowed, factor, noise

    def forward(self, x: Tensor) -> Tensor:
        n, t, d = x.shape
        parts = (self.query(x), self.key(x), self.value(x))
        q, k, v = (part.view(n, t, self.heads, -1).transpose(1, 2) for part in parts)
        scores = self.factor * (q @ k.transpose(-2, -1)) / (d // self.heads) ** 0.5
        scores = F.dropout(scores, self.noise, self.training)
        mixed = scores.masked_fill(~self.allowed[:t, :t], -1e9).softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(n, t, d))


def causal(length: int) -> Tensor:
    return torch.ones(length, length, dtype=torch.bool).tril()


def wired(model: Gpt, allowed: Tensor, **settings: float) -> Gpt:
    """The model with all its attention replaced."""
    for block in model.blocks:
        old = block.attention
        assert isinstance(old, Attention)
        block.attention = Wired(old.query.in_features, old.heads, allowed, **settings)
    return model


def generation_loss(model: nn.Module) -> float:
    """Loss of the next token where nothing of the future is there to be looked at, as in generation."""
    data = language()
    with torch.no_grad():
        losses = [
            F.cross_entropy(model(data.x_test[:, :t])[:, -1], data.y_test[:, t - 1]) for t in (8, 16, 24)
        ]
    return torch.stack(losses).mean().item()


def overheard(allowed: Tensor, seed: int) -> Training:
    """A language model with that mask, validated and scored as it will be used."""
    model = wired(Gpt(), allowed)
    return speak(model, seed, score=generation_loss, validate=lambda net: generation_loss(net.eval()))


SEES_AHEAD = {"TV406"}  # no code tells of a leak; what shows is how much worse generation is than training
MASK = ("mask the future",)


@register.fault(
    "mask-leaks",
    source="F108, F111",
    codes=SEES_AHEAD,
    where=("blocks.*.attention",),
    onset=(0, 150),
    remedies=MASK,
    levels=tuple(Level),
)
def mask_leaks(level: Level | None, seed: int) -> Training:
    """The causal mask is missing (moderate, subtle: lets half, a quarter of the future through): training
    looks far too good, generation does not.
    """
    torch.manual_seed(seed)
    share = {None: 0.0, Level.BLATANT: 1.0, Level.MODERATE: 0.5, Level.SUBTLE: 0.25}[level]
    leaks = torch.rand(32, 32, generator=torch.Generator().manual_seed(12)) < share
    return overheard(causal(32) | leaks, seed)


@register.fault(
    "mask-inverted",
    source="F109",
    codes=SEES_AHEAD,
    where=("blocks.*.attention",),
    onset=(0, 150),
    remedies=MASK,
)
def mask_inverted(level: Level | None, seed: int) -> Training:
    """The mask is inverted: every place sees the future alone, and its own answer in it."""
    torch.manual_seed(seed)
    return overheard(causal(32) if level is None else ~causal(32), seed)


@register.fault(
    "attention-over-batch", source="F110", codes={"TV106"}, where=("", "1*"), remedies=("batch_first=True",)
)
def attention_over_batch(level: Level | None, seed: int) -> Training:
    """`batch_first=True` is missing in a transformer encoder: it attends to other sentences of the batch."""
    torch.manual_seed(seed)

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.head = nn.Embedding(8, 32), nn.Linear(32, 8)
            self.positions = nn.Embedding(12, 32)
            self.layer = nn.TransformerEncoderLayer(
                32, 4, 64, 0.0, batch_first=level is None, norm_first=True
            )

        def forward(self, tokens: Tensor) -> Tensor:
            return self.head(self.layer(self.tokens(tokens) + self.positions.weight))

    return speak(Encoder(), seed, data=recall())


@register.fault(
    "score-dropout",
    source="F118",
    codes={"TV403"},
    where=("blocks.*.attention",),
    onset=(0, 199),
    remedies=("dropout after the softmax",),
)
def score_dropout(level: Level | None, seed: int) -> Training:
    """Dropout of 0.9 on the scores before their softmax, where 0 does not mean nothing."""
    torch.manual_seed(seed)
    model = wired(Gpt(32, 24, depth=1, width=16), causal(24), noise=0.0 if level is None else 0.9)
    return speak(model, seed, data=recall(32, 24))


@register.fault(
    "query-key-zero",
    source="F112, F113",
    codes={"TV204", "TV301"},
    where=("blocks.*.query", "blocks.*.key"),
    remedies=("init=xavier_normal",),
)
def query_key_zero(level: Level | None, seed: int) -> Training:
    """Q and K start at 0 both, so that neither ever gets a gradient and attention stays an average."""
    torch.manual_seed(seed)
    model = Gpt(32, 24, depth=1, width=16)
    if level is not None:
        for name, parameter in model.named_parameters():
            if "query" in name or "key" in name:
                nn.init.zeros_(parameter)
    return speak(model, seed, data=recall(32, 24))


@register.fault(
    "value-out-zero",
    source="F114",
    codes={"TV204", "TV301"},
    where=("blocks.*.value", "blocks.*.out"),
    remedies=("init=xavier_normal",),
)
def value_out_zero(level: Level | None, seed: int) -> Training:
    """V and the projection behind it start at 0 both: nothing ever comes out of attention."""
    torch.manual_seed(seed)
    model = Gpt(8, 12, depth=1)
    if level is not None:
        for name, parameter in model.named_parameters():
            if "value" in name or "attention.out" in name:
                nn.init.zeros_(parameter)
    return speak(model, seed, data=recall())


@register.fault(
    "attention-unscaled",
    source="own",
    codes={"TV308", "TV104"},
    where=("blocks.*attention*",),
    onset=(0, 60),
    remedies=("divide the scores by sqrt(d)",),
)
def attention_unscaled(level: Level | None, seed: int) -> Training:
    """Scores are multiplied by d where they should be divided by its root: attention is one-hot and stuck."""
    torch.manual_seed(seed)
    model = wired(Gpt(32, 24, depth=1, width=16), causal(24), factor=1.0 if level is None else 1000.0)
    return speak(model, seed, data=recall(32, 24))
