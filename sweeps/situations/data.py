"""Data that is there without a download: digits, and small sets that are drawn."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from torch import Tensor


@dataclass(frozen=True)
class Data:
    """A set, and a part that is kept aside for scoring."""

    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor

    def batches(self, size: int, seed: int) -> Callable[[int], tuple[Tensor, Tensor]]:
        """Batch of a step: rows drawn afresh, the same for the same step and seed."""

        def batch(step: int) -> tuple[Tensor, Tensor]:
            draw = torch.Generator().manual_seed(1_000_003 * seed + step)
            rows = torch.randint(0, len(self.x), (size,), generator=draw)
            return self.x[rows], self.y[rows]

        return batch


def split(x: Tensor, y: Tensor, *, kept: float = 0.3) -> Data:
    """The same split whatever the seed of the training."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    cut = int(len(x) * kept)
    return Data(x[order[cut:]], y[order[cut:]], x[order[:cut]], y[order[:cut]])


def standardised(x: Tensor) -> Tensor:
    """Columns of mean 0 and standard deviation 1; constant ones become 0."""
    return (x - x.mean(0)) / x.std(0).clamp_min(1e-6)


@cache
def raw_digits() -> Data:
    """1,797 handwritten digits, 64 pixels of 0 to 16, 10 classes."""
    x, y = load_digits(return_X_y=True)
    return split(torch.tensor(x, dtype=torch.float32), torch.tensor(y))


@cache
def digits() -> Data:
    """The same with standardised pixels."""
    x, y = load_digits(return_X_y=True)
    return split(standardised(torch.tensor(x, dtype=torch.float32)), torch.tensor(y))


@cache
def images() -> Data:
    """The same as images of one channel, 8 by 8, with mean 0 and standard deviation 1 over all pixels."""
    x, y = load_digits(return_X_y=True)
    pixels = torch.tensor(x, dtype=torch.float32).reshape(-1, 1, 8, 8)
    return split((pixels - pixels.mean()) / pixels.std(), torch.tensor(y))


@cache
def cancer() -> Data:
    """569 tumours, 30 standardised features, 2 classes."""
    x, y = load_breast_cancer(return_X_y=True)
    return split(standardised(torch.tensor(x, dtype=torch.float32)), torch.tensor(y))


@cache
def diabetes() -> Data:
    """442 patients, 10 standardised features, one standardised target of shape (N, 1)."""
    x, y = load_diabetes(return_X_y=True)
    target = standardised(torch.tensor(y, dtype=torch.float32).unsqueeze(1))
    return split(standardised(torch.tensor(x, dtype=torch.float32)), target)


@cache
def teacher(features: int = 16, outputs: int = 1, rows: int = 2048) -> Data:
    """Inputs of unit variance and what a fixed random network of two layers makes of them, standardised."""
    draw = torch.Generator().manual_seed(7)
    x = torch.randn(rows, features, generator=draw)
    hidden = torch.tanh(x @ torch.randn(features, 32, generator=draw) / features**0.5 * 2)
    return split(x, standardised(hidden @ torch.randn(32, outputs, generator=draw)))


@cache
def circles(rows: int = 1024) -> Data:
    """Two rings around the origin: classes that no line can part."""
    draw = torch.Generator().manual_seed(8)
    y = torch.arange(rows) % 2
    angle = torch.rand(rows, generator=draw) * 2 * torch.pi
    radius = (1.0 + y) * (1 + 0.08 * torch.randn(rows, generator=draw))
    return split(torch.stack([radius * angle.cos(), radius * angle.sin()], 1), y)


@cache
def language(vocabulary: int = 32, length: int = 32, rows: int = 1024) -> Data:
    """Sentences of a Markov chain with few successors: `x` are tokens, `y` the tokens that follow them."""
    draw = torch.Generator().manual_seed(9)
    successors = torch.randint(0, vocabulary, (vocabulary, 3), generator=draw)
    tokens = torch.randint(0, vocabulary, (rows, 1), generator=draw)
    for _ in range(length):
        choice = torch.randint(0, 3, (rows, 1), generator=draw)
        tokens = torch.cat([tokens, successors[tokens[:, -1:]].gather(-1, choice.unsqueeze(1))[:, :, 0]], 1)
    return split(tokens[:, :-1], tokens[:, 1:])
