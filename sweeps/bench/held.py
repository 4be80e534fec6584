"""Memory of a long tiny training, in a process of its own.

`python -m sweeps.bench.held WATCHED TRACED STEPS EVERY` prints steps and bytes. The first two are 0 or 1.
"""

import gc
import json
import sys
import tracemalloc
from contextlib import ExitStack
from pathlib import Path

import numpy.ma  # noqa: F401  numpy brings it in, a megabyte once, when a rule first needs it: no growth
import torch
from torch import nn

from models.seeding import generator, seeded
from sweeps.bench import ours
from sweeps.bench.training import Batch, Eye, Training

PAGE = 4096
"""Bytes in which Linux counts what a process holds."""


def tiny() -> Training:
    """A network of 161 weights."""
    with seeded(0, "bench", "tiny"):
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    return Training(
        model=model,
        optimizer=torch.optim.Adam(model.parameters(), lr=1e-3),
        loss=lambda net, batch: nn.functional.mse_loss(net(batch[0]), batch[1]),
    )


def batch_of(step: int) -> Batch:
    """A target that half follows from the inputs, so that there is always something to learn."""
    numbers = generator(0, "bench", "tiny", step)
    x = torch.randn(16, 8, generator=numbers)
    return x, x[:, :1] + torch.randn(16, 1, generator=numbers)


def main(watched: bool, traced: bool, steps: int, every: int) -> None:
    torch.set_num_threads(1)
    training, eye = tiny(), Eye()
    found: dict[str, list[float]] = {"steps": [], "bytes": []}
    with ExitStack() as ends:
        if traced:
            tracemalloc.start()
        if watched:
            eye = ends.enter_context(ours.watcher().open(training))
        gc.freeze()  # what was imported stays; looking through it again and again would take all the time
        for step in range(1, steps + 1):
            training.step(batch_of(step), eye)
            if isinstance(eye, ours.Ours):
                eye.looks.due.clear()  # what this benchmark itself notes is no cost of watching
            if step % every == 0:
                gc.collect()
                found["steps"].append(step)
                found["bytes"].append(tracemalloc.get_traced_memory()[0] if traced else resident())
    print(json.dumps(found))


def resident() -> int:
    """Bytes of this process that lie in memory; 0 where there is no /proc."""
    told = Path("/proc/self/statm")
    return int(told.read_text().split()[1]) * PAGE if told.exists() else 0


if __name__ == "__main__":
    main(*(bool(int(a)) for a in sys.argv[1:3]), *(int(a) for a in sys.argv[3:5]))  # type: ignore[misc]
