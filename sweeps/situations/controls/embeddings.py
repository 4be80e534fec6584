"""Embeddings, of which a step touches few rows, or which are used twice."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify, error_rate, loss_on_test, regress
from sweeps.situations.data import Data, images, language, split
from sweeps.situations.loops import every
from sweeps.situations.networks import Gpt, mlp
from sweeps.situations.recipes import speak
from sweeps.situations.situation import register
from sweeps.situations.training import Training


class Words(nn.Module):
    """Next words from two before, with one matrix for reading and writing: modules `tokens`,
    `mix`, `norm`.
    """

    def __init__(self, vocabulary: int = 2000, width: int = 32) -> None:
        super().__init__()
        self.tokens, self.mix = nn.Embedding(vocabulary, width), mlp((width, 64, width))
        self.norm = nn.LayerNorm(width)
        nn.init.normal_(self.tokens.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens)
        return self.norm(x + self.mix(x)) @ self.tokens.weight.T


def _zipf(vocabulary: int = 2000) -> Data:
    """Half of the words are the last one again; the others follow Zipf's law."""
    draw = torch.Generator().manual_seed(11)
    weights = 1 / torch.arange(1.0, vocabulary + 1)
    fresh = torch.multinomial(weights, 4096 * 17, replacement=True, generator=draw).view(4096, 17)
    again = torch.rand(4096, 17, generator=draw) < 0.5
    for t in range(1, 17):
        fresh[:, t] = torch.where(again[:, t], fresh[:, t - 1], fresh[:, t])
    return split(fresh[:, :-1], fresh[:, 1:])


@register.control("large-vocabulary", source="H40, H18")
def large_vocabulary(seed: int) -> Training:
    """Two thousand words, most of them rare: the first loss is ln 2000, and embedding and head are tied."""
    torch.manual_seed(seed)
    return speak(Words(), seed, data=_zipf(), lr=1e-2)


@register.control("tied-embeddings", source="H18")
def tied_embeddings(seed: int) -> Training:
    """One matrix reads and writes the tokens of a transformer, and gets the gradients of both."""
    torch.manual_seed(seed)
    model = Gpt()
    model.head.weight = model.tokens.weight
    return speak(model, seed, data=language(length=16), lr=3e-3)


class SkipGram(nn.Module):
    """Modules `middle` and `around`, two sparse embeddings."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.middle = nn.Embedding(vocabulary, width, sparse=True)
        self.around = nn.Embedding(vocabulary, width, sparse=True)
        nn.init.uniform_(self.middle.weight, -0.5 / width, 0.5 / width)
        nn.init.zeros_(self.around.weight)

    def forward(self, middle: Tensor, around: Tensor) -> Tensor:
        return (self.middle(middle)[..., None, :] * self.around(around)).sum(-1)


@register.control("word2vec", source="H03")
def word2vec(seed: int) -> Training:
    """Skip-grams with negative sampling: sparse embeddings, one of them 0 at first, under SparseAdam."""
    torch.manual_seed(seed)
    base = language(length=16)
    data = Data(base.x.flatten(), base.y.flatten(), base.x_test.flatten(), base.y_test.flatten())

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x, y = batch
        draw = torch.Generator().manual_seed(int(x.sum() + y.sum()))
        strangers = torch.randint(0, 32, (len(x), 5), generator=draw)
        logits = model(x, torch.cat([y[:, None], strangers], 1))
        wanted = torch.zeros_like(logits)
        wanted[:, 0] = 1
        return F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").sum(-1).mean()

    model = SkipGram(32, 16)
    sparse = torch.optim.SparseAdam(list(model.parameters()), lr=2e-2)
    score = loss_on_test(data, loss)
    return classify(model, data, seed, optimizer=sparse, loss=loss, score=score, size=256, steps=300)


class Table(nn.Module):
    """Modules `shops` (an embedding) and `mlp` for numbers beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.shops, self.mlp = nn.Embedding(300, 4), mlp((8, 32, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(torch.cat([x[:, :4], self.shops(x[:, 4].long())], 1))


@register.control("rare-categories", source="H03")
def rare_categories(seed: int) -> Training:
    """A column of 300 categories, most of them rare, as an embedding beside four numbers."""
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(27)
    shop = torch.multinomial(1 / torch.arange(1.0, 301), 2048, replacement=True, generator=draw)
    x, effect = torch.randn(2048, 4, generator=draw), torch.randn(300, generator=draw)
    y = x[:, :2].sum(1) * 0.5 + effect[shop] + 0.1 * torch.randn(2048, generator=draw)
    data, model = split(torch.cat([x, shop[:, None].float()], 1), y[:, None]), Table()
    adam = torch.optim.Adam(model.parameters(), lr=1e-2)
    return regress(model, data, seed, optimizer=adam, steps=300)


@register.control("two-optimizers", source="own")
def two_optimizers(seed: int) -> Training:
    """Sparse embeddings under SparseAdam and all else under Adam, both after one backward pass."""
    torch.manual_seed(seed)

    class Bag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.mlp = nn.EmbeddingBag(512, 16, sparse=True), mlp((16, 32, 10))

        def forward(self, x: Tensor) -> Tensor:
            return self.mlp(self.words(x))

    base = images()

    def words(x: Tensor) -> Tensor:
        """A word for each pixel and its brightness, of 8 grades; the rarest never occur."""
        grade = ((x.flatten(1) + 1) * 3).long().clamp(0, 7)
        return torch.arange(64) * 8 + grade

    data = Data(words(base.x), base.y, words(base.x_test), base.y_test)
    model = Bag()
    sparse = torch.optim.SparseAdam(list(model.words.parameters()), lr=2e-2)
    dense = torch.optim.Adam(model.mlp.parameters(), lr=5e-3)
    training = classify(model, data, seed, optimizer=sparse, iterate=every, score=error_rate(data))
    training.optimizers = (sparse, dense)
    return training
