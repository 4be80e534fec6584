"""The Lightning adapter beside the callbacks that change what is trained, and around a fit."""

import copy
import io
import pickle

import lightning.pytorch
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning import callbacks as theirs
from pytorch_lightning.tuner.tuning import Tuner
from torch import nn

from tests.support.lightning import EVERY_STEP, Module, Watched, data, trainer_of
from torchvitals import Schedule
from torchvitals.adapters.lightning import VitalsCallback
from torchvitals.adapters.validated import AVERAGED
from torchvitals.reporters import MemoryReporter


class Normed(Module):
    """With a batch norm, whose statistics averaged weights need anew; it is validated, too."""

    def __init__(self, lr=0.02):
        super().__init__(lambda parameters: torch.optim.SGD(parameters, lr=self.lr, momentum=0.9))
        self.lr = lr
        self.net = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4))

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.loss(batch), batch_size=16)

    def val_dataloader(self):
        return data(2)

    test_step = validation_step

    def predict_step(self, batch, batch_idx):
        return self.net(batch[0])


def no_hooks(module):
    return not any(
        m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in module.modules()
    ) and not any(p._backward_hooks for p in module.parameters())


AVERAGING = {
    "swa": lambda: [theirs.StochasticWeightAveraging(swa_lrs=0.01, swa_epoch_start=2)],
    "weights": lambda: [theirs.WeightAveraging()],
    "ema": lambda: [theirs.EMAWeightAveraging()],
}


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
@pytest.mark.parametrize("name", AVERAGING)
def test_averaged_weights_are_the_same_and_no_illness(name):
    run = Watched(Normed, data(12), max_epochs=4, callbacks=AVERAGING[name])
    assert run.norms[:48] == pytest.approx(run.module.norms[:48], rel=1e-5)
    assert run.summary.verdict == "healthy"
    assert no_hooks(run.module)
    # The validation loss of the mean over the first steps says nothing of how the training goes.
    assert (AVERAGED in run.summary.coverage.blind) == (name != "swa")
    assert any("val_loss" in s.scalars for s in run.keep.snapshots) == (name == "swa")


class Backbone(Normed):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU())

    def loss(self, batch):
        return super().loss((self.backbone(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.SGD([p for p in self.parameters() if p.requires_grad], lr=0.02, momentum=0.9)


@pytest.mark.filterwarnings("ignore:The provided params to be frozen already exist")
def test_layers_that_are_unfrozen_later_are_seen_from_then_on():
    run = Watched(
        Backbone,
        data(16),
        max_epochs=4,
        callbacks=lambda: [theirs.BackboneFinetuning(unfreeze_backbone_at_epoch=2, verbose=False)],
    )
    first, last = run.keep.snapshots[0], run.keep.snapshots[-1]
    assert not any(name.startswith("backbone.0") for name in first["gradient"].names)
    assert sum(name.startswith("backbone") for name in last["gradient"].names) == 4
    assert sum(name.startswith("backbone") for name in last["update"].names) == 4
    assert run.norms == pytest.approx(run.module.norms, rel=1e-5)
    assert run.summary.verdict == "healthy"


def test_accumulation_may_change_from_epoch_to_epoch():
    run = Watched(
        Normed,
        data(8),
        max_epochs=3,
        callbacks=lambda: [theirs.GradientAccumulationScheduler({0: 4, 1: 2, 2: 1})],
    )
    assert len(run.keep.snapshots) == 2 + 4 + 8
    assert run.norms == pytest.approx(run.module.norms, rel=1e-5)
    assert max(s.loss or 0 for s in run.keep.snapshots) < 2.5
    assert run.summary.verdict == "healthy"


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.parametrize("as_callback", [True, False], ids=["as a callback", "before the fit"])
def test_a_search_for_a_learning_rate_is_no_part_of_the_training(as_callback, tmp_path):
    callback = VitalsCallback(reporters=[], schedule=EVERY_STEP, strict=True)
    module = Normed()
    finder = (
        [theirs.LearningRateFinder(num_training_steps=20, min_lr=1e-3, max_lr=0.1)] if as_callback else []
    )
    trainer = trainer_of(callback, *finder, max_epochs=2, default_root_dir=tmp_path)
    if not as_callback:
        Tuner(trainer).lr_find(module, data(12), num_training=20, min_lr=1e-3, max_lr=0.1)
        assert callback.summary.verdict == "no data"
    trainer.fit(module, data(12))
    assert callback.summary.coverage.steps == 24
    assert not any("resumed" in sentence for sentence in callback.summary.coverage.blind)
    assert no_hooks(module)


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_a_fit_after_a_search_does_not_go_on_from_the_fit_before_it(tmp_path):
    callback = VitalsCallback(reporters=[], strict=True)
    module, trainer = Normed(), trainer_of(callback, max_epochs=1, default_root_dir=tmp_path)
    trainer.fit(module, data(12))
    trainer.fit_loop.max_epochs = 4
    Tuner(trainer).lr_find(module, data(12), num_training=6, min_lr=1e-3, max_lr=0.1)
    trainer.fit_loop.max_epochs = 2
    trainer.fit(module, data(12))
    assert callback.summary.coverage.steps == 12


def test_each_fit_of_a_trainer_that_goes_on_has_a_report_of_its_own():
    callback = VitalsCallback(reporters=[], strict=True)
    module, trainer = Normed(), trainer_of(callback, max_epochs=1)
    trainer.fit(module, data(12))
    trainer.validate(module, data(2), verbose=False)
    trainer.test(module, data(2), verbose=False)
    trainer.predict(module, data(2))
    assert callback.summary.coverage.steps == 12
    trainer.fit_loop.max_epochs = 2
    trainer.fit(module, data(12))
    assert callback.summary.coverage.steps == 12
    assert callback.summary.verdict == "healthy"


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"overfit_batches": 2, "max_epochs": 3}, 6),
        ({"limit_train_batches": 3}, 3),
        ({"limit_train_batches": 0}, 0),
        ({"fast_dev_run": 2}, 2),
        ({"num_sanity_val_steps": 2, "val_check_interval": 4}, 12),
        ({"max_steps": 5}, 5),
    ],
)
@pytest.mark.filterwarnings("ignore:You requested to overfit but enabled")
def test_only_steps_of_the_training_are_counted(options, steps):
    callback = VitalsCallback(reporters=[], strict=True)
    trainer_of(callback, **options).fit(Normed(), data(12), data(2))
    assert callback.summary.coverage.steps == steps
    assert callback.summary.verdict == ("healthy" if steps else "no data")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_after_an_exception_the_report_is_there_and_the_next_fit_is_watched(error):
    class Breaks(Normed):
        broken = False

        def training_step(self, batch, batch_idx):
            if batch_idx == 5 and not Breaks.broken:
                Breaks.broken = True
                raise error("mine")
            return self.loss(batch)

    keep = MemoryReporter()
    callback, module = VitalsCallback(reporters=[keep], strict=True), Breaks()
    with pytest.raises((error, SystemExit)):
        trainer_of(callback).fit(module, data(12))
    assert keep.summary.coverage.steps == 5
    assert callback.summary.verdict == "healthy"
    assert no_hooks(module)
    trainer_of(callback).fit(module, data(12))
    assert callback.summary.coverage.steps == 12
    assert no_hooks(module)


@pytest.mark.parametrize("package", [pl, lightning.pytorch], ids=lambda package: package.__name__)
def test_no_hook_leaves_a_running_fit_in_a_copy_or_a_file(package, tmp_path):
    copies = []

    class Saves(package.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if batch_idx == 3:
                assert not no_hooks(pl_module)
                buffer = io.BytesIO()
                torch.save(pl_module.net, buffer)
                buffer.seek(0)
                copies.append(torch.load(buffer, weights_only=False))
                copies.append(copy.deepcopy(pl_module.net))
                copies.append(copy.deepcopy(pl_module))
                copies.append(pickle.loads(pickle.dumps(pl_module.net)))
                trainer.save_checkpoint(tmp_path / "a.ckpt")

    class Small(package.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))

        def training_step(self, batch, batch_idx):
            return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.02)

    keep = MemoryReporter()
    callback, module = VitalsCallback(reporters=[keep], schedule=EVERY_STEP, strict=True), Small()
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
    trainer = package.Trainer(
        max_epochs=1, accelerator="cpu", enable_checkpointing=False, callbacks=[callback, Saves()], **quiet
    )
    trainer.fit(module, data(6))
    torch.load(tmp_path / "a.ckpt", weights_only=True)
    for twin in copies:
        inner = twin.net if hasattr(twin, "net") else twin
        inner(torch.full((16, 8), 1e6)).sum().backward()
    assert callback.summary.coverage.steps == 6
    assert max(s["activation"]["abs_max"].max() for s in keep.snapshots) < 100


@pytest.mark.slow
def test_a_compiled_module_is_watched_and_its_inside_is_told_to_be_hidden():
    run = Watched(lambda: torch.compile(Normed(), backend="eager"), data(12))  # type: ignore[arg-type]
    assert len(run.keep.snapshots) == 12
    assert min(run.norms) > 0
    assert any("compiled" in sentence for sentence in run.summary.coverage.blind)


def test_a_fit_that_stops_by_itself_has_a_report():
    class Stops(Normed):
        def on_train_batch_end(self, outputs, batch, batch_idx):
            self.trainer.should_stop = batch_idx == 4

    callback = VitalsCallback(reporters=[], schedule=Schedule(dense=4, every=64), strict=True)
    trainer_of(callback, max_epochs=3).fit(Stops(), data(12))
    assert callback.summary.coverage.steps == 5
    assert callback.summary.verdict == "healthy"
