"""How cost grows with the number of parameter tensors."""

from typing import Any

import torch
from torch import Tensor, nn

from models.seeding import generator, seeded
from sweeps.bench import ours
from sweeps.bench.figures import excess, exponent, line, middle
from sweeps.bench.ours import NAME
from sweeps.bench.overhead import Say
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
    """Per number of tensors the cost of a look and of a quiet step, and of each kind the slope and exponent."""
    sizes = QUICK_TENSORS if quick else TENSORS
    points = []
    for tensors in sizes:
        say(f"{tensors} tensors")
        points.append(_point(tensors, device, 24 if quick else ROUNDS))
    return {"points": points, "fits": {kind: fitted(points, kind) for kind in ("quiet", "look")}}


def fitted(points: list[dict[str, Any]], kind: str) -> dict[str, Any] | None:
    """Slope in microseconds per tensor and exponent of the power law, over the medians of the sizes."""
    known = [(p["tensors"], p["kinds"][kind]["median"]) for p in points if kind in p["kinds"]]
    if len(known) < 2:
        return None
    x, y = [n for n, _ in known], [1e6 * seconds for _, seconds in known]
    return {"microseconds": line(x, y), "exponent": exponent(x, y)}


def _point(tensors: int, device: str, rounds: int) -> dict[str, Any]:
    lanes = race(lambda: _training(tensors, device), lambda i: _batch(i, device), [ours.watcher()], rounds)
    lane, bare = lanes[NAME], lanes[BARE]
    costs = excess(lane.seconds, bare.seconds, lane.kinds())
    kinds = {kind: middle(values.tolist()) for kind, values in costs.items() if kind != "first"}
    return {"tensors": tensors, "bare": middle(bare.seconds[FIRST:]), "kinds": kinds, "error": lane.error}


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
