"""Copies of one training that take turns step by step, so that whatever slows the machine slows them all."""

import gc
import random
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field

import torch

from sweeps.bench.training import Batch, Eye, Training

BARE = "bare"
FIRST = 2
"""First steps, in which everybody sets things up: counted apart."""


@dataclass(frozen=True, kw_only=True)
class Watcher:
    """How a training is opened to somebody's eyes."""

    name: str
    open: Callable[[Training], AbstractContextManager[Eye]]
    kind: Callable[[int], str] = lambda _step: "look"
    """what sort of step each is, unless its eye knows better"""


@dataclass
class Lane:
    """One copy of the training and what became of it."""

    watcher: Watcher | None
    training: Training
    eye: Eye = field(default_factory=Eye)
    seconds: list[float] = field(default_factory=list)
    """of each step"""
    opening: float = 0.0
    closing: float = 0.0
    error: str = ""

    @property
    def name(self) -> str:
        return self.watcher.name if self.watcher else BARE

    def kinds(self) -> list[str]:
        """Of each step: "first", then what the eye or the watcher says."""
        kind = self.watcher.kind if self.watcher else lambda _step: BARE
        told = [self.eye.kind(i) or kind(i) for i in range(len(self.seconds))]
        return ["first"] * min(FIRST, len(told)) + told[FIRST:]


def race(
    make: Callable[[], Training],
    batch_of: Callable[[int], Batch],
    watchers: Sequence[Watcher],
    rounds: int,
    *,
    after: Callable[[int], None] = lambda _done: None,
) -> dict[str, Lane]:
    """Step times of the bare training and of one under each watcher, in an order drawn anew for each round.

    A watcher that raises drops out, with its error. `after` is told how many rounds are done.
    """
    make().step(batch_of(0), Eye())  # torch sets itself up at nobody's expense
    lanes = [Lane(None, make()), *(Lane(watcher, make()) for watcher in watchers)]
    order = random.Random(0)  # its own: the training's generators are left alone
    with ExitStack() as ends:
        for lane in lanes:
            _open(lane, ends)
        for i in range(rounds):
            batch = batch_of(i)
            for lane in order.sample(lanes, len(lanes)):
                if not lane.error:
                    _step(lane, batch)
            after(i + 1)
    gc.collect()
    return {lane.name: lane for lane in lanes}


def _open(lane: Lane, ends: ExitStack) -> None:
    if lane.watcher is None:
        return
    begun = time.perf_counter()
    try:
        opened = lane.watcher.open(lane.training)
        lane.eye = opened.__enter__()
    except Exception as error:  # a peer that cannot be used is a result
        lane.error = _words(error)
        return
    lane.opening = time.perf_counter() - begun
    ends.callback(_close, lane, opened)


def _close(lane: Lane, opened: AbstractContextManager[Eye]) -> None:
    begun = time.perf_counter()
    try:
        opened.__exit__(None, None, None)
    except Exception as error:
        lane.error = lane.error or _words(error)
    lane.closing = time.perf_counter() - begun


def _step(lane: Lane, batch: Batch) -> None:
    _wait(batch)
    begun = time.perf_counter()
    try:
        lane.training.step(batch, lane.eye)
    except Exception as error:
        lane.error = _words(error)
        return
    _wait(batch)
    lane.seconds.append(time.perf_counter() - begun)


def _wait(batch: Batch) -> None:
    """Until the device has done what it was told."""
    if batch[0].is_cuda:
        torch.cuda.synchronize(batch[0].device)


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:90]
