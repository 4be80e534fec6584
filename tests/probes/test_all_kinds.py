"""With every kind measured in every step a training is bit for bit the training without it."""

import random

import pytest
import torch
import torch.nn.functional as F

from tests.probes.watching import watched
from tests.support.networks import NETWORKS, batches

KINDS = ("activation", "activation_gradient", "silence", "update", "loss", "wiring", "witness", "mixing")
KINDS += ("normalisation", "memory")


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_and_random_numbers_are_the_same(name):
    torch.compiler.reset()  # beside compiled code losses are left alone

    def train(watch):
        torch.manual_seed(0)
        model = NETWORKS[name]()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

        def loop(tell):
            for i, (x, y) in enumerate(batches(name, 12)):
                loss = F.cross_entropy(model(x), y)
                loss.backward()
                if i % 2:
                    torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
                    optimizer.step()
                    optimizer.zero_grad()
                tell(loss)

        if watch:
            with watched(model, optimizer, *KINDS) as vitals:
                loop(vitals.step)
            first = vitals.snapshots[0]
            assert {"loss", "wiring"} <= set(first.tables)
            assert "witness" in vitals.snapshots[1]
            assert "mixing" in first or "influence each other" in str(vitals.coverage)
        else:
            loop(lambda _: None)
        return model.state_dict(), torch.get_rng_state(), random.getstate()

    (bare, rng, host), (ours, our_rng, our_host) = train(False), train(True)
    assert all(torch.equal(bare[key], ours[key]) for key in bare)
    assert torch.equal(rng, our_rng)
    assert host == our_host
