"""Without this file each data set would split, scale, shuffle and seed in its own way."""

from abc import ABC, abstractmethod
from typing import ClassVar

import pytorch_lightning as pl
import torch

from models.data.batches import Batches, Examples
from models.data.standardise import Standardisation, input_axes
from models.errors import invalid, require_count, require_share
from models.seeding import generator

_EVALUATION_BATCH = 1024
_SMALLEST_SPLIT = 2  # fewer have no variance, so no R2 and no standardisation


class InMemoryData(pl.LightningDataModule, ABC):
    """One data set in three parts: `train`, `val` and `test`, each `Examples`, there after `setup()`.

    The parts and the order of the batches come from generators of their own, made from `seed`: another seed
    gives another split and another order, and the network's randomness has no influence on either. Inputs and
    real-valued targets are standardised with the training part's statistics where the class says so.
    `max_samples` keeps that many examples (at random) before the split. Batches all have `batch_size`
    examples, unless the training part is smaller than one batch. Raises ValueError for shares and sizes that
    leave a part with fewer than 2 examples.
    """

    task: ClassVar[str]
    "Name of the task: binary, multiclass, multilabel or regression."
    in_shape: tuple[int, ...]
    "Shape of one input."
    out_features: int
    "Number of raw outputs that the task needs."
    vocab_size: int | None = None
    "Number of token ids, where inputs are token ids."
    per_position: bool = False
    "Whether each position of a sequence has its own target."
    standardise_inputs: ClassVar[bool] = True
    standardise_targets: ClassVar[bool] = False

    train: Examples
    val: Examples
    test: Examples

    def __init__(
        self,
        *,
        seed: int = 0,
        batch_size: int = 64,
        max_samples: int | None = None,
        val_share: float = 0.15,
        test_share: float = 0.15,
    ) -> None:
        super().__init__()
        require_count("seed", value=seed, minimum=0)
        require_count("batch_size", value=batch_size, minimum=1)
        if max_samples is not None:
            require_count("max_samples", value=max_samples, minimum=3 * _SMALLEST_SPLIT)
        require_share("val_share", value=val_share)
        require_share("test_share", value=test_share)
        require_share("val_share + test_share", value=val_share + test_share)
        self.seed = seed
        self.batch_size = batch_size
        self.max_samples = max_samples
        self.val_share = val_share
        self.test_share = test_share
        self._ready = False

    @abstractmethod
    def load(self) -> Examples:
        """All examples, unscaled, always in the same order."""

    def load_test(self) -> Examples | None:
        """The test part, where the data set comes with one; None if it is to be cut from `load()`."""
        return None

    @property
    def train_size(self) -> int:
        """Number of training examples."""
        self.setup()
        return len(self.train.x)

    def setup(self, stage: str | None = None) -> None:
        """Load, split and scale, once."""
        if not self._ready:
            self.train, self.val, self.test = self._scaled(*self._split())
            self._ready = True

    def _split(self) -> tuple[Examples, Examples, Examples]:
        pool, given = self.load(), self.load_test()
        order = torch.randperm(len(pool.x), generator=generator(self.seed, "split"))[: self.max_samples]
        tests = 0 if given else round(self.test_share * len(order))
        vals = round(self.val_share * len(order))
        test, val, train = (
            _chosen(pool, part) for part in order.split([tests, vals, len(order) - tests - vals])
        )
        test = test if given is None else given
        for name, part in (("training", train), ("validation", val), ("test", test)):
            if len(part.x) < _SMALLEST_SPLIT:
                sizes = "max_samples, val_share and test_share that leave each part at least 2"
                raise invalid(f"number of {name} examples", value=len(part.x), choices=sizes)
        return train, val, test

    def _scaled(self, *parts: Examples) -> tuple[Examples, ...]:
        train = parts[0]
        if self.standardise_inputs:
            scale_x = Standardisation.fitted(train.x, over=input_axes(train.x))
            parts = tuple(part._replace(x=scale_x(part.x)) for part in parts)
        if self.standardise_targets:
            scale_y = Standardisation.fitted(train.y, over=(0,))
            parts = tuple(part._replace(y=scale_y(part.y)) for part in parts)
        return parts

    def train_dataloader(self) -> Batches:
        return Batches(
            self.train,
            batch_size=self.batch_size,
            order=generator(self.seed, "order"),
            drop_last=len(self.train.x) >= self.batch_size,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
        )

    def val_dataloader(self) -> Batches:
        return Batches(self.val, batch_size=_EVALUATION_BATCH)

    def test_dataloader(self) -> Batches:
        return Batches(self.test, batch_size=_EVALUATION_BATCH)


def _chosen(examples: Examples, indices: torch.Tensor) -> Examples:
    return Examples(examples.x[indices], examples.y[indices])
