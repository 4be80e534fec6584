"""How cost grows with the number of parameter tensors."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.seeding import generator, seeded
from sweeps.bench import ours
from sweeps.bench.figures import line_of_medians, middle, pooled
from sweeps.bench.ours import NAME, SCHEDULES
from sweeps.bench.overhead import Say, costs_of, told_of
from sweeps.bench.timing import BARE, FIRST, race
from sweeps.bench.training import Batch, Training

TENSORS = (100, 300, 1000, 3000)
QUICK_TENSORS = (20, 60)
ROUNDS = 40
WIDTH = 8


class Many(nn.Module):
    """The mean of many small linear layers beside each other."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([layer(x) for layer in self.layers]).sum(0) / len(self.layers) ** 0.5


def measured(*, quick: bool, device: str, say: Say) -> dict[str, Any]:
    """Per number of tensors what a look and a quiet step cost; of each kind the slope and the exponent."""
    sizes = QUICK_TENSORS if quick else TENSORS
    points: list[dict[str, Any]] = []
    costs: dict[str, dict[int, np.ndarray]] = {"quiet": {}, "look": {}}
    for tensors in sizes:
        say(f"{tensors} tensors")
        point, found = _point(tensors, device, 24 if quick else ROUNDS)
        points.append(point)
        for kind in costs.keys() & found.keys():
            costs[kind][tensors] = found[kind]
    return {"points": points, "fits": {kind: fitted(of) for kind, of in costs.items()}}


def fitted(costs: Mapping[int, np.ndarray]) -> dict[str, Any] | None:
    """Slope in microseconds per tensor, and exponent of the power law, of seconds by number of tensors."""
    if len(costs) < 2:
        return None
    micro = [1e6 * seconds for seconds in costs.values()]
    return {
        "microseconds": line_of_medians(list(costs), micro),
        "exponent": line_of_medians(list(costs), micro, logarithms=True),
    }


def _point(tensors: int, device: str, rounds: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    watchers = [ours.watcher(name, schedule) for name, schedule in SCHEDULES.items()]
    lanes = race(lambda: _training(tensors, device), lambda i: _batch(i, device), watchers, rounds)
    bare = lanes[BARE]
    costs = pooled(costs_of(lanes[name], bare) for name in SCHEDULES)
    told = {"tensors": tensors, "bare": middle(bare.seconds[FIRST:]), "kinds": told_of(costs)}
    return {**told, "error": lanes[NAME].error}, costs


def _training(tensors: int, device: str) -> Training:
    with seeded(0, "bench", "many"):
        model = Many(tensors // 2).to(device)
    return Training(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.01, foreach=True),
        loss=lambda net, batch: nn.functional.mse_loss(net(batch[0]), batch[1]),
    )


def _batch(step: int, device: str) -> Batch:
    numbers = generator(0, "bench", "many", step)
    x = torch.randn(32, WIDTH, generator=numbers)
    return x.to(device), (x + torch.randn(32, WIDTH, generator=numbers)).to(device)
