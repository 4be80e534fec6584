"""What judging costs is bounded; without this every look of a long run would be dearer than the one before.

Calls of functions are counted and not seconds, so that it is the same on every machine.
"""

import sys

import pytest
import torch
from torch import nn

import torchvitals
from torchvitals import registry
from torchvitals.core.snapshot import Snapshot
from torchvitals.judge import Judge


def recorded(*, layers: int, looks: int) -> list[Snapshot]:
    """Snapshots of a deep net that learns, all of whose steps are looked at."""
    torch.manual_seed(0)
    blocks = (layer for _ in range(layers) for layer in (nn.Linear(16, 16), nn.LayerNorm(16), nn.ReLU()))
    model = nn.Sequential(*blocks, nn.Linear(16, 4))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    told: list[Snapshot] = []

    class Keeping:
        def on_snapshot(self, snapshot):
            told.append(snapshot)

        def on_incident(self, incident): ...

        def on_close(self, summary): ...

    schedule = torchvitals.Schedule(dense=0, every=1)
    with torchvitals.watch(model, optimizer, reporters=[Keeping()], schedule=schedule) as vitals:
        for _ in range(looks):
            x = torch.randn(32, 16)
            loss = nn.functional.cross_entropy(model(x), x[:, :4].argmax(1))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            vitals.step(loss)
    return told


def calls(judge: Judge, snapshot: Snapshot) -> int:
    """Functions that are called to judge it, those of numpy and those written in C included."""
    counted = 0

    def count(_frame, event, _arg):
        nonlocal counted
        counted += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        judge.take_in(snapshot)
    finally:
        sys.setprofile(before)
    return counted


@pytest.fixture(scope="module")
def costs() -> list[int]:
    """Calls for each look of a run."""
    judge = Judge(registry.resolve(None))
    return [calls(judge, snapshot) for snapshot in recorded(layers=4, looks=90)]


def typical(costs: list[int]) -> int:
    return sorted(costs)[len(costs) // 2]


def test_a_look_costs_a_few_thousand_calls_and_no_more_than_its_window_grows(costs):
    assert max(costs[1:]) < 10_000
    assert typical(costs[78:]) < 2.5 * typical(costs[24:36])


def test_four_times_as_many_layers_cost_hardly_more(costs):
    judge = Judge(registry.resolve(None))
    deep = [calls(judge, snapshot) for snapshot in recorded(layers=16, looks=30)]
    assert typical(deep[18:]) < 1.5 * typical(costs[18:30])


def test_a_step_that_is_not_due_costs_next_to_nothing():
    judge = Judge(registry.resolve(None))
    light = (Snapshot(step, {"loss": 1.0, "lr": 0.1}, due=False) for step in range(200))
    assert max(calls(judge, snapshot) for snapshot in light) < 100
