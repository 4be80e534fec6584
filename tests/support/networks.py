"""The four networks that the tests of transparency train, each with one fixed batch of its kind of data."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.activations import activation_factory
from models.networks.mlp import MLP
from models.networks.resnet import ResNet
from models.networks.rnn import RNN
from models.networks.transformer import Transformer

RELU = activation_factory(name="relu")

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: MLP((64,), out_features=10, activation=RELU, depth=4, width=32, norm="batch", dropout=0.2),
    "resnet": lambda: ResNet((1, 8, 8), out_features=10, activation=RELU, width=8),
    "lstm": lambda: RNN((6, 3), out_features=10, activation=RELU, cell="lstm", width=16, dropout=0.0),
    "transformer": lambda: Transformer(
        (6,), out_features=10, activation=RELU, vocab_size=7, width=16, dropout=0.1
    ),
}


def batches(name: str, count: int, size: int = 16) -> list[tuple[Tensor, Tensor]]:
    """`count` batches of inputs that fit the network, and class labels."""
    draw = torch.Generator().manual_seed(7)
    made = []
    for _ in range(count):
        inputs = {
            "mlp": lambda: torch.randn(size, 64, generator=draw),
            "resnet": lambda: torch.randn(size, 1, 8, 8, generator=draw),
            "lstm": lambda: torch.randn(size, 6, 3, generator=draw),
            "transformer": lambda: torch.randint(0, 7, (size, 6), generator=draw),
        }[name]()
        made.append((inputs, torch.randint(0, 10, (size,), generator=draw)))
    return made
