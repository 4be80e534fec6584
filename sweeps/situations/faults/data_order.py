"""Batches that are dealt out badly: in order, always the same, or some of them again and again."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from sweeps.situations.common import classify, error_rate, loss_on_test, regress, squared_error
from sweeps.situations.data import Data, digits, images, teacher
from sweeps.situations.networks import Cnn, mlp
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training


def in_order(data: Data, size: int) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Batches from the first row to the last, and again."""
    count = len(data.x) // size

    def batch(step: int) -> tuple[Tensor, Tensor]:
        start = step % count * size
        return data.x[start : start + size], data.y[start : start + size]

    return batch


def sorted_by(data: Data, key: Tensor) -> Data:
    order = key.argsort(stable=True)
    return replace(data, x=data.x[order], y=data.y[order])


@register.fault(
    "sorted-classes",
    source="own; shuffle=False on sorted files",
    codes={"TV503"},
    onset=(0, 120),
    remedies=("shuffle=True",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def sorted_classes(level: Level | None, seed: int) -> Training:
    """Digits come sorted by class, two batches of each at a time (moderate: in five groups of two classes):
    what was learnt of the one is unlearnt by the next.
    """
    torch.manual_seed(seed)
    data = digits()
    training = classify(mlp((64, 64, 64, 10)), data, seed, steps=200)
    if level is not None:
        key = data.y if level is Level.BLATANT else data.y // 2
        training.batch = in_order(sorted_by(data, key), 64)
    return training


@register.fault(
    "sorted-classes-cnn",
    source="own; a folder of files for each class",
    codes={"TV503"},
    onset=(0, 120),
    remedies=("shuffle=True",),
)
def sorted_classes_cnn(level: Level | None, seed: int) -> Training:
    """Images come folder by folder, each of which holds one class."""
    torch.manual_seed(seed)
    training = classify(Cnn(), images(), seed, lr=0.05, steps=200)
    if level is not None:
        training.batch = in_order(sorted_by(images(), images().y), 32)
    return training


@register.fault(
    "sorted-targets",
    source="own; a table sorted by what is to be predicted",
    codes={"TV503"},
    onset=(0, 120),
    remedies=("shuffle=True",),
)
def sorted_targets(level: Level | None, seed: int) -> Training:
    """The table of a regression is sorted by its target."""
    torch.manual_seed(seed)
    training = regress(mlp((16, 64, 64, 1)), teacher(), seed, steps=220)
    if level is not None:
        training.batch = in_order(sorted_by(teacher(), teacher().y[:, 0]), 64)
    return training


@register.fault(
    "first-batch-for-ever",
    source="own; next(iter(loader)) in the loop",
    codes={"TV503", "TV406"},
    onset=(0, 150),
    remedies=("iterate over the loader",),
)
def first_batch_for_ever(level: Level | None, seed: int) -> Training:
    """`next(iter(loader))` in the loop gives the first batch each time: it is learnt by heart and nothing
    else is.
    """
    torch.manual_seed(seed)
    data = digits()
    model, told = mlp((64, 64, 64, 10)), loss_on_test(data)
    training = classify(model, data, seed, validate=told, score=error_rate(data), steps=200)
    if level is not None:
        first = training.batch(0)
        training.batch = lambda _step: first
    return training


@register.fault(
    "workers-share-seed",
    source="F53; SO 67180955",
    codes={"TV503", "TV406"},
    onset=(0, 150),
    remedies=("seed numpy in worker_init_fn",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def workers_share_seed(level: Level | None, seed: int) -> Training:
    """Sixteen workers (moderate: eight) draw their batches from one seed: each batch comes sixteen times in a
    row.
    """
    torch.manual_seed(seed)
    data = teacher()
    workers = {None: 1, Level.BLATANT: 16, Level.MODERATE: 8}.get(level, 1)
    training = regress(mlp((16, 128, 128, 1)), data, seed, size=16, steps=320)
    drawn, training.validate = training.batch, loss_on_test(data, squared_error)
    training.batch = lambda step: drawn(step // workers)
    return training
