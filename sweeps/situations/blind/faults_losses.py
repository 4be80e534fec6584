"""Losses that are not what they are taken for."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.blind.sets import masks, prose
from sweeps.situations.common import classify, loss_on_test, regress
from sweeps.situations.data import Data, digits, split
from sweeps.situations.networks import Lstm, mlp
from sweeps.situations.recipes import speak
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training


def _of_logits(model: nn.Module, batch: Any) -> Tensor:
    return F.binary_cross_entropy_with_logits(model(batch[0]), batch[1])


@register.fault(
    "softmax-for-many-labels",
    source="F31; SO 57326611",
    codes={"TV405"},
    where=("", "head"),
    remedies=("a sigmoid for each label",),
)
def softmax_for_many_labels(level: Level | None, seed: int) -> Training:
    """Five labels of which several may hold at once, and a softmax that lets one of them be likely."""
    torch.manual_seed(seed)
    rows = digits()
    y, y_test = (
        torch.stack([t % 2, t > 4, t % 3, t > 1, t < 8], 1).clamp(max=1).float()
        for t in (rows.y, rows.y_test)
    )
    data, model = Data(rows.x, y, rows.x_test, y_test), mlp((64, 64, 5))

    def probability(model: nn.Module, x: Tensor) -> Tensor:
        return model(x).sigmoid() if level is None else model(x).softmax(-1)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return F.binary_cross_entropy(probability(model, batch[0]), batch[1])

    def score(model: nn.Module) -> float:
        return ((probability(model, data.x_test) > 0.5) != (y_test > 0.5)).float().mean().item()

    adam = torch.optim.AdamW(model.parameters(), lr=3e-3)
    return classify(model, data, seed, optimizer=adam, loss=loss, score=score)


class Segmenter(nn.Sequential):
    """Four convolutions at full size, as `0`, `2`, `4`, `6`."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1),
        )  # fmt: skip


@register.fault(
    "dice-of-logits",
    source="PyTorch forum; own",
    codes={"TV405", "TV402"},
    remedies=("a sigmoid before the Dice loss",),
)
def dice_of_logits(level: Level | None, seed: int) -> Training:
    """The Dice loss takes logits for probabilities, and has no lower end for numbers that may be anything."""
    torch.manual_seed(seed)
    data, model = masks(), Segmenter()

    def loss(model: nn.Module, batch: Any) -> Tensor:
        p, mask = model(batch[0]), batch[1]
        p = p.sigmoid() if level is None else p
        return 1 - (2 * (p * mask).sum() + 1) / (p.sum() + mask.sum() + 1)

    def score(model: nn.Module) -> float:
        return ((model(data.x_test) > 0) != (data.y_test > 0.5)).float().mean().item()

    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    return regress(model, data, seed, optimizer=adam, loss=loss, score=score, size=16, steps=120)


@register.fault(
    "poisson-of-rates",
    source="own",
    codes={"TV405"},
    remedies=("log_input=False",),
)
def poisson_of_rates(level: Level | None, seed: int) -> Training:
    """A net says rates by a softplus, and `poisson_nll_loss` takes them for logarithms, as is its default."""
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(51)
    x = torch.randn(2000, 8, generator=draw)
    y = torch.poisson((0.7 * x[:, :1] - 0.5 * x[:, 1:2] * x[:, 2:3]).clamp(max=3).exp(), generator=draw)
    data, model = split(x, y), nn.Sequential(mlp((8, 48, 48, 1)), nn.Softplus())

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return F.poisson_nll_loss(model(batch[0]), batch[1], log_input=level is not None)

    def score(model: nn.Module) -> float:
        return F.poisson_nll_loss(model(data.x_test), data.y_test, log_input=False).item()

    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return regress(model, data, seed, optimizer=adam, loss=loss, score=score)


@register.fault(
    "padding-in-the-loss",
    source="own",
    codes={"TV405"},
    remedies=("ignore_index=0",),
)
def padding_in_the_loss(level: Level | None, seed: int) -> Training:
    """Cross-entropy counts the padding, which is most of each batch: the loss is low, little is learnt."""
    torch.manual_seed(seed)
    whole, model = prose(), Lstm(28)
    lengths = torch.randint(
        2, 9, (len(whole.x) + len(whole.x_test), 1), generator=torch.Generator().manual_seed(5)
    )
    kept = torch.arange(32) < lengths
    cut = kept[: len(whole.x)], kept[len(whole.x) :]
    data = Data(
        (whole.x + 1) * cut[0],
        (whole.y + 1) * cut[0],
        (whole.x_test + 1) * cut[1],
        (whole.y_test + 1) * cut[1],
    )

    def of_words(model: nn.Module, batch: Any) -> Tensor:
        return F.cross_entropy(model(batch[0]).flatten(0, 1), batch[1].flatten(), ignore_index=0)

    def of_all(model: nn.Module, batch: Any) -> Tensor:
        return F.cross_entropy(model(batch[0]).flatten(0, 1), batch[1].flatten())

    sgd = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    loss = of_words if level is None else of_all
    return speak(model, seed, data=data, optimizer=sgd, loss=loss, score=loss_on_test(data, of_words))
