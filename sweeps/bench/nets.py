"""The nets on which cost is measured, each with batches as somebody with two CPU cores would take them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from models.networks.cnn import CNN
from models.networks.mlp import MLP
from models.networks.resnet import ResNet
from models.networks.rnn import RNN
from models.seeding import generator, seeded
from sweeps.bench.gpt import GPT
from sweeps.bench.training import Batch, Training

CLASSES = 10
VOCAB = 2048
SYMBOLS = 64
"""Tokens of the LSTM."""


@dataclass(frozen=True, kw_only=True)
class Net:
    """A network with its optimizer and its data, which are drawn anew for every step and can be learned."""

    name: str
    words: str
    """what it is, for the page"""
    model: Callable[[], nn.Module]
    optimizer: Callable[[nn.Module], Optimizer]
    batch: Callable[[torch.Generator], Batch]
    big: bool
    """whether the target is that of large networks"""
    rounds: int
    """steps that are run in full: 1,000 where a step is short"""
    contest: int
    """steps that are run against peers; 0: not at all"""

    def training(self, device: str = "cpu") -> Training:
        """A training from the start; two are equal bit for bit."""
        with seeded(0, "bench", self.name):
            model = self.model().to(device)
        return Training(model=model, optimizer=self.optimizer(model), loss=cross_entropy)

    def batch_of(self, step: int, device: str = "cpu") -> Batch:
        x, y = self.batch(generator(0, "bench", self.name, step))
        return x.to(device), y.to(device)


def cross_entropy(model: nn.Module, batch: Batch) -> torch.Tensor:
    x, y = batch
    return F.cross_entropy(model(x).flatten(0, -2), y.flatten())


def pictures(*shape: int, samples: int) -> Callable[[torch.Generator], Batch]:
    """Noise with a brighter band in one of ten places, which is the class."""

    def draw(numbers: torch.Generator) -> Batch:
        y = torch.randint(CLASSES, (samples,), generator=numbers)
        x = torch.randn(samples, *shape, generator=numbers)
        rows = torch.arange(shape[-2]) * CLASSES // shape[-2]
        return x + 1.5 * (rows == y[:, None])[:, None, :, None], y

    return draw


def sentences(vocab: int, *, steps: int, samples: int) -> Callable[[torch.Generator], Batch]:
    """Each token follows from the one before, but for one in ten, which is drawn."""

    def draw(numbers: torch.Generator) -> Batch:
        noise = torch.randint(vocab, (samples, steps + 1), generator=numbers)
        drawn = torch.rand(samples, steps + 1, generator=numbers) < 0.1
        tokens = noise.clone()
        for t in range(1, steps + 1):
            tokens[:, t] = torch.where(drawn[:, t], noise[:, t], (5 * tokens[:, t - 1] + 7) % vocab)
        return tokens[:, :-1], tokens[:, 1:]

    return draw


NETS = (
    Net(
        name="MLP",
        words="3 hidden layers of 512, 128 pictures of 28 x 28, Adam",
        model=lambda: MLP((1, 28, 28), out_features=CLASSES, activation=nn.ReLU, depth=3, width=512),
        optimizer=lambda model: Adam(model.parameters(), lr=1e-3),
        batch=pictures(1, 28, 28, samples=128),
        big=False,
        rounds=1000,
        contest=120,
    ),
    Net(
        name="CNN",
        words="4 convolutions of 32 channels, 64 pictures of 28 x 28, Adam",
        model=lambda: CNN((1, 28, 28), out_features=CLASSES, activation=nn.ReLU, depth=4, width=32),
        optimizer=lambda model: Adam(model.parameters(), lr=1e-3),
        batch=pictures(1, 28, 28, samples=64),
        big=False,
        rounds=1000,
        contest=0,
    ),
    Net(
        name="ResNet",
        words="ResNet-20, 32 pictures of 3 x 32 x 32, SGD with momentum",
        model=lambda: ResNet((3, 32, 32), out_features=CLASSES, activation=nn.ReLU, depth=3, width=16),
        optimizer=lambda model: SGD(model.parameters(), lr=0.05, momentum=0.9),
        batch=pictures(3, 32, 32, samples=32),
        big=True,
        rounds=300,
        contest=40,
    ),
    Net(
        name="LSTM",
        words="2 layers of 128 units, 32 sequences of 64 tokens, Adam",
        model=lambda: RNN(
            (64,),
            out_features=SYMBOLS,
            activation=nn.ReLU,
            vocab_size=SYMBOLS,
            per_position=True,
            depth=2,
            width=128,
        ),
        optimizer=lambda model: Adam(model.parameters(), lr=1e-3),
        batch=sentences(SYMBOLS, steps=64, samples=32),
        big=False,
        rounds=1000,
        contest=0,
    ),
    Net(
        name="GPT",
        words="8 blocks of width 320, 8 sequences of 128 tokens, AdamW",
        model=lambda: GPT(VOCAB, steps=128, depth=8, width=320, heads=5),
        optimizer=lambda model: AdamW(model.parameters(), lr=3e-4),
        batch=sentences(VOCAB, steps=128, samples=8),
        big=True,
        rounds=64,
        contest=28,
    ),
)
