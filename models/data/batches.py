"""Without this file hundreds of short trainings would spend their time stacking examples into batches."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from models.errors import require_count


class Examples(NamedTuple):
    """Inputs (N, *in_shape) and targets (N, ...) of the same N examples, in memory."""

    x: Tensor
    y: Tensor


class Batches:
    """Whole batches cut out of tensors by index; a new order at each pass if there is a generator for it.

    A torch DataLoader fetches and stacks example by example, which takes twenty times as long and, in a short
    training of a small network, a tenth of the time; worker processes, which Lightning would ask for, have
    nothing to read here. `drop_last` leaves out a smaller last batch. `rank` and `world_size` give each
    process its own examples. Raises ValueError for a batch size below 1.
    """

    def __init__(
        self,
        examples: Examples,
        *,
        batch_size: int,
        order: torch.Generator | None = None,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        require_count("batch_size", value=batch_size, minimum=1)
        self.examples = examples
        self.batch_size = batch_size
        self.order = order
        self.drop_last = drop_last
        self.rank = rank
        self.world_size = world_size

    def __len__(self) -> int:
        mine = len(self.examples.x) // self.world_size
        return mine // self.batch_size if self.drop_last else -(-mine // self.batch_size)

    def __iter__(self) -> Iterator[Examples]:
        count = len(self.examples.x)
        indices = torch.arange(count) if self.order is None else torch.randperm(count, generator=self.order)
        mine = indices[self.rank : count - count % self.world_size : self.world_size]
        for chunk in mine.split(self.batch_size)[: len(self)]:
            yield Examples(self.examples.x[chunk], self.examples.y[chunk])
