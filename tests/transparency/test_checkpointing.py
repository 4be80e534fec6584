"""Activation checkpointing: recomputed passes are no passes, and what is hidden is said to be."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from tests.transparency.twins import loop, twins


class Net(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.stem = nn.Linear(8, 16)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2)) for _ in range(3)
        )
        self.head = nn.Linear(16, 3)
        self.reentrant = reentrant

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = x + checkpoint(block, x, use_reentrant=self.reentrant)
        return self.head(x)


def train(watch, model, steps=20):
    opt = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    with watch(model, opt) as vitals:

        def step(_):
            x = torch.randn(16, 8)
            loss = F.cross_entropy(model(x), x[:, :3].argmax(1))
            opt.zero_grad()
            loss.backward()
            opt.step()
            return loss

        loop(step, vitals, steps)
    return model, opt


def test_without_reentry_every_site_is_told_once():
    seen = twins(lambda watch: train(watch, Net(False)))
    table = seen.snapshots[5]["activation"]
    assert len(set(table.names)) == len(table.names)
    assert "blocks.0.0" in table.names
    assert set(table["count"]) == {16 * 16, 16 * 3}
    grads = seen.snapshots[5]["activation_gradient"]
    assert {"stem", "head"} <= set(grads.names)
    assert set(grads["count"]) == {16 * 16, 16 * 3}
    assert seen.vitals.verdict == "healthy"


def test_with_reentry_the_inside_of_blocks_is_hidden_and_that_is_said():
    seen = twins(lambda watch: train(watch, Net(True)))
    table = seen.snapshots[5]["activation"]
    assert set(table.names) == {"stem", "head"}
    assert "reentrant checkpointing" in seen.blind
    assert "blocks.0" in seen.blind
    assert seen.vitals.verdict == "healthy"


@pytest.mark.parametrize("reentrant", [True, False])
def test_segments_of_a_sequence(reentrant):
    class Segments(nn.Sequential):
        def forward(self, x):  # pyright: ignore[reportIncompatibleMethodOverride]
            return checkpoint_sequential(list(self), 2, x, use_reentrant=reentrant)

    def build():
        return Segments(*(nn.Sequential(nn.Linear(8, 8), nn.ReLU()) for _ in range(4)), nn.Linear(8, 3))

    def run(watch):
        model = build()
        opt = torch.optim.SGD(model.parameters(), lr=0.05)
        with watch(model, opt) as vitals:

            def step(_):
                x = torch.randn(16, 8, requires_grad=True)
                loss = F.cross_entropy(model(x), x[:, :3].argmax(1))
                opt.zero_grad()
                loss.backward()
                opt.step()
                return loss

            loop(step, vitals, 6)
        return model, opt

    seen = twins(run)
    names = seen.snapshots[3]["activation"].names
    assert len(set(names)) == len(names)
    assert ("reentrant checkpointing" in seen.blind) == reentrant
