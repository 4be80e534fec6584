"""One training and one step of it, the same under whatever eyes."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Batch = tuple[Tensor, Tensor]


class Eye:
    """Who looks at a training; this one sees nothing and costs nothing. The moments of a step are those at
    which the documentation of a tool tells its user to call it.
    """

    def begin(self) -> None:
        """Before the forward pass."""

    def gradients_ready(self) -> None:
        """Between the backward pass and the optimizer."""

    def step(self, loss: Tensor) -> None:
        """After the optimizer."""

    def kind(self, step: int) -> str | None:
        """What sort of step that was, where only the tool knows: "quiet", "look" or "armed"."""
        return None


@dataclass(kw_only=True)
class Training:
    model: nn.Module
    optimizer: Optimizer
    loss: Callable[[nn.Module, Batch], Tensor]

    def step(self, batch: Batch, eye: Eye) -> None:
        eye.begin()
        loss = self.loss(self.model, batch)
        self.optimizer.zero_grad()
        loss.backward()
        eye.gradients_ready()
        self.optimizer.step()
        eye.step(loss)

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.model.parameters())

    @property
    def tensors(self) -> int:
        """How many parameter tensors there are."""
        return len(list(self.model.parameters()))

    def same_weights(self, other: "Training") -> bool:
        """Whether all weights are bit for bit those of the other training."""
        mine, theirs = self.model.state_dict(), other.model.state_dict()
        return all(torch.equal(mine[name], theirs[name]) for name in mine)
