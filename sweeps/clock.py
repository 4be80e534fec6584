"""Without this file the price of a step would be a mean that one slow epoch end spoils."""

import time
from itertools import pairwise
from statistics import median
from typing import Any

import pytorch_lightning as pl


class StepClock(pl.Callback):
    """Times optimizer steps, each from the end of the one before, with all that lies between."""

    def __init__(self) -> None:
        self._ends: list[float] = []
        self._step = 0

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        if trainer.global_step > self._step:
            self._step = trainer.global_step
            self._ends.append(time.perf_counter())

    @property
    def median_seconds(self) -> float | None:
        """Median over the steps; None before the second."""
        gaps = [after - before for before, after in pairwise(self._ends)]
        return median(gaps) if gaps else None
