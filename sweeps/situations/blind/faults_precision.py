"""Numbers that a format cannot hold, or that are none."""

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.blind.sets import pretrained, reviews
from sweeps.situations.common import classify, regress
from sweeps.situations.data import Data, images, split
from sweeps.situations.networks import mlp
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training

LEVELS = (Level.BLATANT, Level.MODERATE)


@register.fault(
    "fine-tuned-in-bf16",
    source="F83; own",
    codes={"TV304"},
    remedies=("weights in 32 bits under autocast",),
    onset=(0, 20),
)
def fine_tuned_in_bf16(level: Level | None, seed: int) -> Training:
    """A pretrained CNN is loaded in bfloat16 to save memory and fine-tuned by AdamW at a small rate."""
    torch.manual_seed(seed)
    model, data = pretrained(), images()
    if level is not None:
        model = model.bfloat16()
        data = replace(data, x=data.x.bfloat16(), x_test=data.x_test.bfloat16())
    adam = torch.optim.AdamW(model.parameters(), lr=1.5e-4)
    return classify(model, data, seed, optimizer=adam, size=32, steps=400)


@register.fault(
    "angle-by-arccosine",
    source="own",
    codes={"TV203"},
    onset=(0, 249),
    remedies=("clamp the cosine", "atan2"),
)
def angle_by_arccosine(level: Level | None, seed: int) -> Training:
    """The loss of a direction is the arccosine of a product of unit vectors, which rounds to 1 where the two
    are nearly alike.
    """
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(61)
    x = torch.randn(2000, 6, generator=draw)
    angle = x[:, 0] + (x[:, 1] * x[:, 2]).tanh()
    data = split(x, torch.stack([angle.cos(), angle.sin()], 1))
    limit = 1.0 if level is not None else 1 - 1e-5

    def angles(model: nn.Module, batch: Any) -> Tensor:
        cosine = (F.normalize(model(batch[0]), dim=1) * batch[1]).sum(1)
        return (cosine.clamp(-limit, limit) if level is None else cosine).acos().mean()

    def score(model: nn.Module) -> float:
        return (1 - F.cosine_similarity(model(data.x_test), data.y_test)).mean().item()

    model = mlp((6, 64, 64, 2))
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return regress(model, data, seed, optimizer=adam, loss=angles, score=score, steps=250)


class Pointer(nn.Module):
    """Modules `words`, `query`, `pool`, `head`: attention of one learnt query over the words of a text."""

    def __init__(self, *, by_product: bool) -> None:
        super().__init__()
        self.words, self.query, self.head = nn.Embedding(40, 24), nn.Linear(24, 1), nn.Linear(24, 2)
        self.by_product = by_product

    def forward(self, tokens: Tensor) -> Tensor:
        h, real = self.words(tokens), (tokens > 0).float()
        scores = self.query(h)[:, :, 0]
        if self.by_product:
            scores = scores + (1 - real) * float("-inf")
        else:
            scores = scores.masked_fill(real == 0, float("-inf"))
        return self.head((scores.softmax(1).unsqueeze(2) * h).sum(1))


@register.fault(
    "infinity-times-zero",
    source="F87; own",
    codes={"TV203"},
    remedies=("masked_fill",),
    certain="zero times infinity is not a number",
)
def infinity_times_zero(level: Level | None, seed: int) -> Training:
    """A mask is made as (1 - mask) times minus infinity, which is no number where the mask is 1."""
    torch.manual_seed(seed)
    model = Pointer(by_product=level is not None)
    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    return classify(model, reviews(), seed, optimizer=adam, size=32)


class Statistics(nn.Module):
    """Mean and deviation over the frames that are there."""

    def __init__(self, *, unbiased: bool) -> None:
        super().__init__()
        self.unbiased = unbiased

    def forward(self, h: Tensor, there: Tensor) -> Tensor:
        count = there.sum(1, keepdim=True)
        mean = (h * there).sum(1, keepdim=True) / count
        squares = ((h - mean) ** 2 * there).sum(1, keepdim=True)
        variance = squares / (count - 1) if self.unbiased else squares / count + 1e-5
        return torch.cat([mean, variance.sqrt()], 2)[:, 0]


class Speaker(nn.Module):
    """Modules `frames`, `pool`, `head`."""

    def __init__(self, *, unbiased: bool) -> None:
        super().__init__()
        self.frames = nn.Sequential(nn.Linear(6, 24), nn.ReLU())
        self.pool, self.head = Statistics(unbiased=unbiased), nn.Linear(48, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.frames(x[:, :, :-1]), x[:, :, -1:]))


@register.fault(
    "deviation-of-one-frame",
    source="own",
    codes={"TV203"},
    where=("pool", "head", "frames*"),
    onset=(0, 80),
    remedies=("a floor under the variance", "drop clips of one frame"),
    levels=LEVELS,
)
def deviation_of_one_frame(level: Level | None, seed: int) -> Training:
    """Voices are told by mean and deviation over time, and one clip in 20 (moderate: in 300) has a single
    frame, whose deviation is 0/0.
    """
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(62)
    y = torch.randint(0, 4, (1500,), generator=draw)
    voice, tremor = torch.randn(4, 6, generator=draw), 0.5 + torch.rand(4, 6, generator=draw)
    x = voice[y].unsqueeze(1) + tremor[y].unsqueeze(1) * torch.randn(1500, 10, 6, generator=draw)
    lengths = torch.randint(4, 11, (1500,), generator=draw)
    lengths[:: 300 if level is Level.MODERATE else 20] = 1
    there = (torch.arange(10) < lengths[:, None]).float().unsqueeze(2)
    data: Data = split(torch.cat([x * there, there], 2), y)
    model = Speaker(unbiased=level is not None)
    return classify(model, data, seed, optimizer=torch.optim.Adam(model.parameters(), lr=5e-3), size=32)
