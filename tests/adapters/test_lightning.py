"""The Lightning adapter, under both import names of it."""

import copy
import pickle
from typing import Any

import lightning.pytorch
import pytest
import pytorch_lightning
import torch
import torch.nn.functional as F
from torch import nn

import torchvitals
from torchvitals import Schedule, Severity
from torchvitals.adapters.lightning import VitalsCallback
from torchvitals.reporters import MemoryReporter

BOTH = pytest.mark.parametrize("pl", [pytorch_lightning, lightning.pytorch], ids=lambda pl: pl.__name__)
EVERY_STEP = Schedule(dense=0, every=1)


class Closed(MemoryReporter):
    """Counts how often it is closed."""

    times = 0

    def on_close(self, summary):
        self.times += 1


def module_of(pl, *, spoil=None, manual=False, validates=False):
    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = not manual
            self.net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
            self.norms = []

        def training_step(self, batch, batch_idx):
            if spoil is not None:
                spoil(self, batch_idx)
            loss = F.cross_entropy(self.net(batch[0]), batch[1])
            if manual:
                optimizer = self.optimizers()
                optimizer.zero_grad()
                self.manual_backward(loss)
                optimizer.step()
            return loss

        def on_before_optimizer_step(self, optimizer):
            grads = [p.grad.norm() for p in self.parameters()]
            self.norms.append(torch.stack(grads).norm().item())

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    class Validated(Module):
        def validation_step(self, batch, batch_idx):
            self.net(batch[0] * 1e9)

    torch.manual_seed(0)
    return Validated() if validates else Module()


def loader(made: Any) -> torch.utils.data.DataLoader:
    return torch.utils.data.DataLoader(made, batch_size=None)


def data(count=8, rows=16):
    draw = torch.Generator().manual_seed(1)
    made = [
        (torch.randn(rows, 8, generator=draw), torch.randint(0, 4, (rows,), generator=draw))
        for _ in range(count)
    ]
    return loader(made)


def trainer_of(pl, *callbacks, **options):
    quiet = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    return pl.Trainer(
        **{"max_epochs": 1, "accelerator": "cpu", **quiet, **options}, callbacks=list(callbacks)
    )


@BOTH
def test_gradients_are_those_before_clipping_and_after_accumulation(pl):
    keep = MemoryReporter()
    callback = VitalsCallback(reporters=[keep], schedule=EVERY_STEP, strict=True)
    module = module_of(pl)
    trainer_of(pl, callback, accumulate_grad_batches=2, gradient_clip_val=1e-3).fit(module, data())
    assert [s.step for s in keep.snapshots] == [0, 1, 2, 3]
    assert [s.scalars["gradient_norm"] for s in keep.snapshots] == pytest.approx(module.norms, rel=1e-5)
    assert keep.snapshots[0].labels["clipped"] == "no"
    assert min(module.norms) > 0.1
    updates = [s["update"].norm for s in keep.snapshots]
    assert all((u**2).sum() ** 0.5 == pytest.approx(0.1 * 1e-3, rel=1e-3) for u in updates)


@BOTH
def test_the_loss_of_an_accumulated_step_is_the_mean_over_its_micro_batches(pl):
    keep = MemoryReporter()
    module, loader = module_of(pl), data(2)
    with torch.no_grad():
        expected = sum(F.cross_entropy(module.net(x), y).item() for x, y in loader) / 2
    trainer_of(pl, VitalsCallback(reporters=[keep], strict=True), accumulate_grad_batches=2).fit(
        module, loader
    )
    assert keep.snapshots[0].loss == pytest.approx(expected, rel=1e-5)


@BOTH
def test_a_nan_in_a_batch_is_named_by_tensor_row_and_batch(pl):
    batches = list(data(40))
    batches[29][0][5, 2] = float("nan")
    callback = VitalsCallback(reporters=[], strict=True)
    trainer_of(pl, callback).fit(module_of(pl), loader(batches))
    root = callback.summary.root
    assert root is not None
    assert (root.code, root.onset, root.where) == ("TV501", 29, ("batch",))
    assert (root.evidence["batch"], root.evidence["row"]) == (29, 5)


def test_validation_passes_are_not_measured():
    keep = MemoryReporter()
    trainer = trainer_of(
        pytorch_lightning, VitalsCallback(reporters=[keep], schedule=EVERY_STEP, strict=True)
    )
    trainer.fit(module_of(pytorch_lightning, validates=True), data(), data())
    assert max(s["activation"]["abs_max"].max() for s in keep.snapshots) < 1e3


def test_manual_optimisation_is_followed():
    callback = VitalsCallback(reporters=[], schedule=EVERY_STEP, strict=True)
    trainer_of(pytorch_lightning, callback).fit(module_of(pytorch_lightning, manual=True), data())
    assert callback.summary.coverage.steps == 8
    assert callback.summary.coverage.measured["update"] == 4


@BOTH
def test_stop_on_ends_the_training_as_early_stopping_does(pl):
    def spoil(module, batch_idx):
        if batch_idx == 3:
            module.net[2].weight.data.fill_(float("inf"))

    trainer = trainer_of(pl, VitalsCallback(reporters=[], stop_on="critical", strict=True), max_epochs=5)
    trainer.fit(module_of(pl, spoil=spoil), data())
    assert trainer.global_step == 4


def test_an_exception_in_the_training_closes_the_watch_and_leaves_no_hook():
    def spoil(module, batch_idx):
        if batch_idx == 3:
            raise RuntimeError("mine")

    keep = Closed()
    callback, module = (
        VitalsCallback(reporters=[keep], strict=True),
        module_of(pytorch_lightning, spoil=spoil),
    )
    with pytest.raises(RuntimeError, match="mine"):
        trainer_of(pytorch_lightning, callback).fit(module, data())
    assert keep.times == 1
    assert callback.summary.coverage.steps == 3
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())


def test_one_callback_serves_several_fits_each_with_a_report_of_its_own():
    callback = VitalsCallback(reporters=[], strict=True)
    assert callback.summary.verdict == "no data"
    for count in (8, 5):
        trainer_of(pytorch_lightning, callback).fit(module_of(pytorch_lightning), data(count))
        assert callback.summary.coverage.steps == count
        assert callback.summary.verdict == "healthy"
        assert "healthy" in callback.report()


def test_an_unused_callback_can_be_copied_and_pickled():
    callback = VitalsCallback(diagnostics=["dead-units"], stop_on=Severity.CRITICAL)
    assert copy.deepcopy(callback)._diagnostics == pickle.loads(pickle.dumps(callback))._diagnostics


def test_bad_arguments_are_refused_before_any_training():
    with pytest.raises(torchvitals.TorchvitalsError, match=r"'dead-unit'.*Did you mean 'dead-units'"):
        VitalsCallback(diagnostics=["dead-unit"])
    with pytest.raises(torchvitals.TorchvitalsError, match=r"stop_on='fatal'.*INFO, WARNING, CRITICAL"):
        VitalsCallback(stop_on="fatal")


def test_two_processes_train_to_the_same_weights_with_and_without_us_and_are_compared(tmp_path):
    class Save(pytorch_lightning.Callback):
        def __init__(self, name):
            self.name = name

        def on_train_end(self, trainer, pl_module):
            torch.save(pl_module.state_dict(), tmp_path / f"{self.name}{trainer.global_rank}.pt")
            for callback in vars(trainer)["callbacks"]:
                if isinstance(callback, VitalsCallback) and trainer.is_global_zero:  # the one that reads
                    assert callback.summary.coverage.measured["rank"] == 2

    for name, callbacks in (("bare", []), ("watched", [VitalsCallback(reporters=[], strict=True)])):
        trainer = trainer_of(pytorch_lightning, *callbacks, Save(name), devices=2, strategy="ddp_fork")
        trainer.fit(module_of(pytorch_lightning), data())
    states = [torch.load(tmp_path / f"{n}{r}.pt") for n in ("bare", "watched") for r in (0, 1)]
    for other in states[1:]:
        assert all(torch.equal(a, b) for a, b in zip(states[0].values(), other.values(), strict=True))


def test_the_output_of_a_network_that_a_training_step_calls_directly_is_seen_in_every_step():
    def spoil(module, batch_idx):
        if batch_idx == 29:
            module.net[2].bias.data.fill_(float("inf"))

    callback = VitalsCallback(reporters=[], schedule=Schedule(dense=1, every=64), strict=True)
    trainer_of(pytorch_lightning, callback).fit(module_of(pytorch_lightning, spoil=spoil), data(40))
    root = callback.summary.root
    assert root is not None
    assert (root.code, root.onset, root.where) == ("TV203", 29, ("net",))
    assert root.evidence["origin"] == "forward"
