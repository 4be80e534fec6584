"""A training as somebody might have written it, and the loop that runs it under any number of eyes."""

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


@dataclass(kw_only=True)
class Training:
    """Everything that a loop needs. `iterate` is the body of the loop, which a wiring fault replaces."""

    model: nn.Module
    optimizers: tuple[Optimizer, ...]
    batch: Callable[[int], Any]
    """batch of a step; the same for the same step, however often it is asked"""
    loss: Callable[[nn.Module, Any], Tensor]
    """loss of the model on a batch"""
    score: Callable[[nn.Module], float]
    """how bad the trained model is, on data kept aside and in eval mode; lower is better"""
    steps: int = 200
    iterate: "Callable[[Training, int, Eyes], Tensor | float | None] | None" = None
    """one iteration: takes the training, its number and the eyes; gives the loss as the user would tell it.
    None is the loop of every tutorial, `plain`.
    """
    scheduler: Any = None
    """stepped once after each iteration, where there is one"""
    scaler: torch.amp.GradScaler | None = None
    """for `iterate` to use, and known to the eyes"""
    validate: Callable[[nn.Module], float] | None = None
    """validation loss as the user measures it, told to the eyes; called every `validate_every` steps"""
    validate_every: int = 25

    @property
    def optimizer(self) -> Optimizer:
        return self.optimizers[0]


class Eyes(Protocol):
    """Who watches a training: torchvitals, a peer, or nobody."""

    def gradients_ready(self) -> None:
        """Gradients are complete and not clipped yet. Only loops that clip call it, as users do who read the
        documentation.
        """

    def step(self, loss: Tensor | float | None = None) -> None:
        """An iteration is over."""

    def validation(self, loss: float) -> None:
        """A validation loss was measured."""


Watch = Callable[[Training], AbstractContextManager[Eyes]]


class Many:
    """Several pairs of eyes as one."""

    def __init__(self, eyes: Iterable[Eyes]) -> None:
        self._eyes = tuple(eyes)

    def gradients_ready(self) -> None:
        for eyes in self._eyes:
            eyes.gradients_ready()

    def step(self, loss: Tensor | float | None = None) -> None:
        for eyes in self._eyes:
            eyes.step(loss)

    def validation(self, loss: float) -> None:
        for eyes in self._eyes:
            eyes.validation(loss)


@dataclass(frozen=True)
class Trained:
    """What became of a training."""

    losses: tuple[float, ...]
    """loss of each iteration; nan where nobody told it"""
    score: float
    """`Training.score` at the end; inf where it is not a number"""
    error: str = ""
    """what the training itself raised, empty if it came to its end"""


def run(training: Training, watches: Iterable[Watch] = ()) -> Trained:
    """Train to the end. What the training raises ends it and is part of the result."""
    losses: list[float] = []
    error = ""
    with ExitStack() as stack:
        eyes = Many([stack.enter_context(watch(training)) for watch in watches])
        try:
            for step in range(training.steps):
                training.model.train()
                loss = (training.iterate or plain)(training, step, eyes)
                losses.append(_number(loss))
                eyes.step(loss)
                if training.scheduler is not None:
                    training.scheduler.step()
                if training.validate is not None and (step + 1) % training.validate_every == 0:
                    eyes.validation(training.validate(training.model))
        except RuntimeError as caught:  # what torch raises on a broken set-up
            error = f"{type(caught).__name__}: {caught}"
    return Trained(tuple(losses), _score(training), error)


def _number(loss: Tensor | float | None) -> float:
    if loss is None:
        return math.nan
    return loss.detach().float().mean().item() if isinstance(loss, Tensor) else loss


def _score(training: Training) -> float:
    training.model.eval()
    with torch.no_grad():
        score = float(training.score(training.model))
    return score if math.isfinite(score) else math.inf


def plain(training: Training, step: int, _eyes: Eyes) -> Tensor:
    """The loop of every tutorial."""
    loss = training.loss(training.model, training.batch(step))
    training.optimizer.zero_grad()
    loss.backward()
    training.optimizer.step()
    return loss


def clipped(limit: float) -> "Callable[[Training, int, Eyes], Tensor]":
    """The loop of every tutorial, with the gradient norm clipped."""

    def iterate(training: Training, step: int, eyes: Eyes) -> Tensor:
        loss = training.loss(training.model, training.batch(step))
        training.optimizer.zero_grad()
        loss.backward()
        eyes.gradients_ready()
        nn.utils.clip_grad_norm_(training.model.parameters(), limit)
        training.optimizer.step()
        return loss

    return iterate
