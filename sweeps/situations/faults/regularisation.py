"""Too much noise, too little room."""

import torch
from torch import nn

from sweeps.situations.common import classify
from sweeps.situations.data import Data, digits
from sweeps.situations.networks import Gpt, mlp
from sweeps.situations.recipes import speak, validation
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training


@register.fault(
    "dropout-too-high",
    source="F90; UMLAUT, TDC",
    codes={"TV403"},
    onset=(0, 199),
    remedies=("dropout of at most 0.5",),
    levels=tuple(Level),
)
def dropout_too_high(level: Level | None, seed: int) -> Training:
    """Dropout of 0.8 to 0.98 after each hidden layer: the training loss stays on a noisy plateau."""
    torch.manual_seed(seed)
    share = {None: 0.2, Level.BLATANT: 0.98, Level.MODERATE: 0.9, Level.SUBTLE: 0.8}[level]
    model = mlp((64, 64, 64, 64, 10), act=lambda: nn.Sequential(nn.ReLU(), nn.Dropout(share)))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    return classify(model, digits(), seed, optimizer=optimizer, validate=validation(digits()))


@register.fault(
    "one-unit-bottleneck",
    source="F100",
    codes={"TV103", "TV403"},
    where=("hidden.1*",),
    onset=(0, 199),
    remedies=("widen the layer",),
)
def one_unit_bottleneck(level: Level | None, seed: int) -> Training:
    """Everything has to pass through a hidden layer of one unit."""
    torch.manual_seed(seed)
    return classify(mlp((64, 64, 1 if level else 32, 64, 10)), digits(), seed, lr=0.02)


@register.fault(
    "embedding-of-two",
    source="F100",
    codes={"TV103", "TV403"},
    where=("tokens", "blocks*", "norm"),
    onset=(0, 199),
    remedies=("widen the embedding",),
)
def embedding_of_two(level: Level | None, seed: int) -> Training:
    """A language model whose embedding has two dimensions, which its LayerNorms reduce to a sign."""
    torch.manual_seed(seed)
    width = 2 if level else 32
    return speak(Gpt(width=width, heads=2), seed)


@register.fault(
    "plasticity-lost",
    source="F107; Sokar 2023",
    codes={"TV105", "TV101"},
    where=("hidden*",),
    onset=(60, 899),
    remedies=("model.norm=layer", "reset dormant units"),
)
def plasticity_lost(level: Level | None, seed: int) -> Training:
    """Fifteen tasks in a row, each with its own labels: units fall dormant and later tasks are learnt worse.
    The clean twin normalises its layers.
    """
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 64, 10), norm=None if level else nn.LayerNorm)
    data, tasks, each = digits(), 15, 60
    relabel = [torch.randperm(10, generator=torch.Generator().manual_seed(t)) for t in range(tasks)]
    batches = data.batches(64, seed)

    def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = batches(step)
        return x, relabel[step // each][y]

    last = Data(data.x, relabel[-1][data.y], data.x_test, relabel[-1][data.y_test])
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    training = classify(model, last, seed, optimizer=optimizer, steps=tasks * each)
    training.batch = batch
    return training
