"""Steps of a training with every kind of table measured, for the tests of statistics."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import torchvitals
from torchvitals import Diagnostic, Finding, Schedule, Snapshot, Window
from torchvitals.core.tables import Table
from torchvitals.reporters import MemoryReporter

MEASURED = frozenset(
    {"activation", "activation_gradient", "saturation", "silence", "parameter", "update", "features"}
)


@dataclass(frozen=True, kw_only=True)
class Curious(Diagnostic):
    """Needs every kind and finds nothing."""

    code, name, needs = "XX001", "curious", MEASURED

    def diagnose(self, window: Window) -> Iterator[Finding]:
        yield from ()


def look(
    model: nn.Module,
    *parts: Tensor,
    optimizers: Any = None,
    step: Callable[[], None] | None = None,
    loss_fn: Callable[[Tensor], Tensor] = lambda out: out.square().mean(),
    steps: int = 1,
) -> list[Snapshot]:
    """Snapshots of steps, each over the micro-batches `parts`; `step` updates, by default all optimizers."""
    made = torch.optim.SGD(model.parameters(), lr=0.1) if optimizers is None else optimizers
    several = made if isinstance(made, list) else [made]
    keep = MemoryReporter()
    with torchvitals.watch(
        model, several, diagnostics=[Curious()], reporters=[keep], schedule=Schedule(every=1), strict=True
    ) as vitals:
        for _ in range(steps):
            for optimizer in several:
                optimizer.zero_grad()
            for i, part in enumerate(parts):
                loss = loss_fn(model(part))
                loss.backward()
                if i == len(parts) - 1:
                    step() if step else [optimizer.step() for optimizer in several]
                vitals.step(loss.detach())
    return keep.snapshots


def row(table: Table, name: str) -> dict[str, Any]:
    """One row of a table by the names of its statistics."""
    i = table.index(name)
    columns = {key: column[i].item() for key, column in table.columns.items()}
    return columns | {key: rows[i].tolist() for key, rows in table.units.items()}


def spread_twin(x: np.ndarray) -> tuple[float, float]:
    """Spread and freedom the slow way: entry by entry in float64."""
    x = x.astype(np.float64)
    total = 0.0
    for place in np.ndindex(x.shape[1:]):
        column = x[(slice(None), *place)]
        total += sum((value - column.sum() / len(column)) ** 2 for value in column)
    return total, float((len(x) - 1) * x[0].size)
