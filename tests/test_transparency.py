"""A training with torchvitals is bit for bit the training without it."""

import copy
import io
import pickle
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn

import torchvitals
from tests.support.networks import NETWORKS, batches
from torchvitals import Schedule
from torchvitals.adapters.lightning import VitalsCallback

EVERY_STEP = Schedule(dense=0, every=1)


class Module(pl.LightningModule):
    def __init__(self, network, *, adam):
        super().__init__()
        self.network, self.adam = network, adam

    def training_step(self, batch, batch_idx):
        return F.cross_entropy(self.network(batch[0]), batch[1])

    def configure_optimizers(self):
        if self.adam:
            return torch.optim.Adam(self.parameters(), lr=1e-2)
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


def fit(name, *, callbacks, accumulate, clip, adam=True):
    torch.manual_seed(0)
    module = Module(NETWORKS[name](), adam=adam)
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accumulate_grad_batches=accumulate,
        gradient_clip_val=clip,
        callbacks=callbacks,
    )
    trainer.fit(module, loader(batches(name, 9)))
    return module, torch.get_rng_state()


def loader(made: Any) -> torch.utils.data.DataLoader:
    return torch.utils.data.DataLoader(made, batch_size=None)


def assert_same(ours, theirs):
    for (key, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert torch.equal(a, b), key


@pytest.mark.parametrize("clip", [None, 0.1], ids=["unclipped", "clipped"])
@pytest.mark.parametrize("accumulate", [1, 3], ids=["every-batch", "accumulated"])
@pytest.mark.parametrize("name", NETWORKS)
def test_weights_after_a_lightning_fit_are_bitwise_equal(name, accumulate, clip):
    callback = VitalsCallback(reporters=[], schedule=EVERY_STEP, strict=True)
    bare, bare_rng = fit(name, callbacks=[], accumulate=accumulate, clip=clip)
    watched, rng = fit(name, callbacks=[callback], accumulate=accumulate, clip=clip)
    assert callback.summary.coverage.steps == 9 // accumulate
    assert callback.summary.coverage.measured["activation_gradient"] > 0
    assert_same(bare, watched)
    assert torch.equal(bare_rng, rng)


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_after_a_plain_loop_are_bitwise_equal(name):
    def train(watched):
        torch.manual_seed(0)
        model = NETWORKS[name]()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
        vitals = torchvitals.watch(model, optimizer, reporters=[], strict=True) if watched else None
        for x, y in batches(name, 30):
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            if vitals:
                vitals.step(loss)
        if vitals:
            vitals.close()
            assert vitals.coverage.looks > 10
        return model

    assert_same(train(False), train(True))


def test_the_test_of_equality_can_fail():
    a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    with pytest.raises(AssertionError):
        assert_same(a, b)


def test_a_watched_model_can_be_copied_pickled_and_saved_and_the_copies_are_not_watched():
    model = NETWORKS["resnet"]()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    keys = list(model.state_dict())
    with torchvitals.watch(model, optimizer, reporters=[], schedule=EVERY_STEP, strict=True) as vitals:
        copies = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
        buffer = io.BytesIO()
        torch.save(model, buffer)
        buffer.seek(0)
        copies.append(torch.load(buffer, weights_only=False))
        assert list(model.state_dict()) == keys
        (x, y), *_ = batches("resnet", 1)
        for twin in copies:
            F.cross_entropy(twin(x * 1e6), y).backward()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        vitals.step(loss)
    # Had the copies' passes been measured, their inputs a million times larger would show.
    (snapshot,) = vitals._monitor._judge.window.snapshots
    assert snapshot["input"]["abs_max"].max() < 100


def test_memory_held_does_not_grow_with_the_run():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x = torch.randn(8, 4)
    sizes = []
    with torchvitals.watch(model, optimizer, reporters=[], schedule=Schedule(dense=4, every=4)) as vitals:
        for step in range(900):
            loss = model(x).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            vitals.step(loss)
            if step in (499, 899):
                kept = vitals._monitor._judge.window.snapshots
                sizes.append(len(pickle.dumps([s.to_dict() for s in kept])))
    assert sizes[1] < sizes[0] * 1.05
