"""What it costs to judge: recorded steps of two networks go through the diagnostics again."""

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch.optim import AdamW

from models.seeding import seeded
from sweeps.bench.figures import middle
from sweeps.bench.gpt import GPT
from sweeps.bench.nets import NETS, cross_entropy, sentences
from sweeps.bench.overhead import Say
from sweeps.bench.training import Training
from torchvitals import Finding, Schedule, Snapshot, Window, registry, watch
from torchvitals.core.protocols import Diagnostic
from torchvitals.judge import Judge
from torchvitals.reporters.memory import MemoryReporter

STEPS = 160
RECORDED = Schedule(dense=16, every=2)
"""So many looks that the window is full at the end."""
DEAREST = 10
LAST = 64
"""Steps at the end, with a full window, that count."""


class Stopwatch:
    """A diagnostic that notes how long it thinks."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        self.inner = diagnostic
        self.name = diagnostic.name
        self.seconds: list[float] = []

    def diagnose(self, window: Window) -> Iterator[Finding]:
        begun = time.perf_counter()
        found = list(self.inner.diagnose(window))
        self.seconds.append(time.perf_counter() - begun)
        return iter(found)


def measured(*, quick: bool, say: Say, **_anywhere: Any) -> dict[str, Any]:
    """Per network: seconds of a look and of a quiet step, and the dearest diagnostics."""
    small = NETS[0].training(), NETS[0].batch_of
    recordings = {"small (the MLP)": small}
    if not quick:
        recordings["large (a GPT of 24 narrow blocks)"] = narrow()
    found = []
    for name, (training, batch_of) in recordings.items():
        say(f"{name}: recording")
        snapshots = recorded(training, batch_of, STEPS // 2 if quick else STEPS)
        say(f"{name}: judging")
        found.append({"name": name, "tensors": training.tensors, **judged(snapshots)})
    return {"models": found}


def narrow() -> tuple[Training, Any]:
    """As many tensors and sites as a large model has; how wide they are does not matter to who judges."""
    with seeded(0, "bench", "narrow"):
        model = GPT(64, steps=32, depth=24, width=32, heads=4)
    draw = sentences(64, steps=32, samples=4)
    training = Training(model=model, optimizer=AdamW(model.parameters(), lr=1e-3), loss=cross_entropy)
    return training, lambda step: draw(torch.Generator().manual_seed(step))


def recorded(training: Training, batch_of: Any, steps: int) -> list[Snapshot]:
    kept = MemoryReporter()
    with watch(training.model, training.optimizer, reporters=[kept], schedule=RECORDED) as vitals:
        for step in range(steps):
            loss = training.loss(training.model, batch_of(step))
            training.optimizer.zero_grad()
            loss.backward()
            training.optimizer.step()
            vitals.step(loss)
    return kept.snapshots


def judged(snapshots: list[Snapshot]) -> dict[str, Any]:
    """Once as it is, for the whole; once with a stopwatch at each diagnostic, for the parts."""
    whole: dict[str, list[float]] = {"look": [], "quiet": []}
    court = Judge(registry.resolve(None))
    for number, snapshot in enumerate(_fresh(snapshots)):
        begun = time.perf_counter()
        court.take_in(snapshot)
        if number >= len(snapshots) - LAST:
            whole["look" if snapshot.due else "quiet"].append(time.perf_counter() - begun)
    watches = [Stopwatch(diagnostic) for diagnostic in registry.resolve(None)]
    timed = Judge(watches)  # type: ignore[arg-type]
    for snapshot in _fresh(snapshots):
        timed.take_in(snapshot)
    return {"kinds": {kind: middle(seconds) for kind, seconds in whole.items()}, "dearest": dearest(watches)}


def dearest(watches: list[Stopwatch]) -> list[dict[str, Any]]:
    """Diagnostics by what judging a full window costs them. Who asks first pays for what others ask again."""
    rows = [{"name": w.name, "look": middle(w.seconds[-LAST // 2 :])} for w in watches if w.seconds]
    return sorted(rows, key=lambda row: -row["look"]["median"])[:DEAREST]


def _fresh(snapshots: list[Snapshot]) -> Iterator[Snapshot]:
    """The same snapshots without what anybody has remembered of them."""
    for snapshot in snapshots:
        yield Snapshot.from_dict(snapshot.to_dict())
