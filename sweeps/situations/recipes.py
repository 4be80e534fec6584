"""Good trainings of the small networks, which faults then spoil, and what a user measures beside them."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sweeps.situations.common import classify, cross_entropy, loss_on_test
from sweeps.situations.data import Data, language, split
from sweeps.situations.training import Training


def speak(
    model: nn.Module,
    seed: int,
    *,
    data: Data | None = None,
    optimizer: Optimizer | None = None,
    lr: float = 3e-3,
    size: int = 16,
    steps: int = 200,
    **rest: Any,
) -> Training:
    """A language model, trained by Adam if nothing else is asked for, scored by its loss per token."""
    data = data or language()
    return classify(
        model,
        data,
        seed,
        optimizer=optimizer or torch.optim.Adam(model.parameters(), lr=lr),
        size=size,
        steps=steps,
        score=rest.pop("score", loss_on_test(data)),
        **rest,
    )


def validation(
    data: Data, loss: Callable[[nn.Module, Any], Tensor] = cross_entropy, *, evaluating: bool = True
) -> Callable[[nn.Module], float]:
    """Loss on the data kept aside as a user measures it; not `evaluating` forgets `model.eval()`."""

    def validate(model: nn.Module) -> float:
        model.train(not evaluating)
        with torch.no_grad():
            return loss(model, (data.x_test, data.y_test)).item()

    return validate


@cache
def recall(vocabulary: int = 8, length: int = 12, rows: int = 1024) -> Data:
    """Random tokens, of which every place asks for the first, which only attention and positions can find."""
    tokens = torch.randint(0, vocabulary, (rows, length), generator=torch.Generator().manual_seed(10))
    return split(tokens, tokens[:, :1].expand(rows, length))
