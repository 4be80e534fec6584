"""Loops that are as right as the plain one: what `Training.iterate` of a careful user may look like."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sweeps.situations.training import Eyes, Training

Iterate = Callable[[Training, int, Eyes], Tensor]


def clipped_untold(limit: float) -> Iterate:
    """Clips the gradient norm and tells nobody beforehand, as most loops do."""

    def iterate(training: Training, step: int, _eyes: Eyes) -> Tensor:
        loss = training.loss(training.model, training.batch(step))
        training.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(training.model.parameters(), limit)
        training.optimizer.step()
        return loss

    return iterate


def accumulated(micro: int, limit: float | None = None) -> Iterate:
    """Each iteration is a micro-batch; the optimizer steps at every `micro`-th, clipped where there is a
    limit.
    """

    def iterate(training: Training, step: int, eyes: Eyes) -> Tensor:
        loss = training.loss(training.model, training.batch(step))
        (loss / micro).backward()
        if (step + 1) % micro == 0:
            if limit is not None:
                eyes.gradients_ready()
                nn.utils.clip_grad_norm_(training.model.parameters(), limit)
            training.optimizer.step()
            training.optimizer.zero_grad()
        return loss

    return iterate


def every(training: Training, step: int, _eyes: Eyes) -> Tensor:
    """All optimizers step after one backward pass."""
    loss = training.loss(training.model, training.batch(step))
    for optimizer in training.optimizers:
        optimizer.zero_grad()
    loss.backward()
    for optimizer in training.optimizers:
        optimizer.step()
    return loss


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, keep: float) -> None:
    """Move each parameter of `average` a share of 1 - `keep` towards that of `model`."""
    for slow, fast in zip(average.parameters(), model.parameters(), strict=True):
        slow.lerp_(fast, 1 - keep)
