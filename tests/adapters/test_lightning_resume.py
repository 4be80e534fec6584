"""A training that goes on from a Lightning checkpoint is watched as if it had never stopped."""

import os

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import nn

from tests.support.lightning import Module, data, trainer_of
from torchvitals import Schedule, Severity
from torchvitals.adapters.lightning import VitalsCallback
from torchvitals.checkpoint import unpacked
from torchvitals.reporters import JsonlReporter, MemoryReporter
from torchvitals.reporters.recording import read


class Healthy(Module):
    def __init__(self):
        super().__init__(lambda parameters: torch.optim.SGD(parameters, lr=0.02, momentum=0.9))
        self.net = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4))


class Sick(Module):
    """Sigmoids that let no gradient through, and a step size that is far too large."""

    def __init__(self):
        super().__init__(lambda parameters: torch.optim.SGD(parameters, lr=30.0))
        deep = [layer for _ in range(8) for layer in (nn.Linear(8, 8), nn.Sigmoid())]
        self.net = nn.Sequential(*deep, nn.Linear(8, 4))


class Frozen(Module):
    """Nothing moves, not even the statistics of a batch norm."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(8, 16), nn.BatchNorm1d(16, momentum=0.0), nn.ReLU(), nn.Linear(16, 4)
        )


def fit(make, callback, *, epochs, path=None, resume=None, **options):
    """Thirty steps an epoch; leaves a checkpoint at `path`, and goes on from `resume`."""
    torch.manual_seed(0)
    module = make()
    trainer = trainer_of(callback, max_epochs=epochs, **options)
    trainer.fit(module, data(30), ckpt_path=resume)
    if path is not None:
        trainer.save_checkpoint(path)
    return module


def told(callback):
    """The report, but for its cost."""
    found = callback.summary.to_dict()
    return found, found.pop("cost")


@pytest.mark.parametrize("make", [Healthy, Sick, Frozen])
def test_a_resumed_run_ends_with_the_report_of_one_that_was_never_interrupted(make, tmp_path):
    whole, first, second = (VitalsCallback(reporters=[], strict=True) for _ in range(3))
    expected = fit(make, whole, epochs=2)
    fit(make, first, epochs=1, path=tmp_path / "a.ckpt")
    resumed = fit(make, second, epochs=2, resume=tmp_path / "a.ckpt")
    for a, b in zip(expected.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a.nan_to_num(7.0), b.nan_to_num(7.0))
    (report, _), (again, cost) = told(whole), told(second)
    assert again == report
    assert (report["verdict"] == "healthy") == (make is not Sick)
    assert report["coverage"]["steps"] == 60
    saved = unpacked(torch.load(tmp_path / "a.ckpt", weights_only=True)["callbacks"][first.state_key])
    assert cost["run_seconds"] > saved["run_seconds"] > 0
    assert cost["monitor_seconds"] > saved["seconds"] > 0


def test_a_run_stopped_before_the_first_look_after_it_still_knows_what_was_seen(tmp_path):
    seldom = Schedule(dense=4, every=64)
    first, second = (VitalsCallback(reporters=[], schedule=seldom, strict=True) for _ in range(2))
    fit(Healthy, first, epochs=1, path=tmp_path / "a.ckpt")
    fit(Healthy, second, epochs=2, resume=tmp_path / "a.ckpt", max_steps=31)
    assert second.summary.coverage.steps == 31
    assert second.summary.coverage.looks == first.summary.coverage.looks
    assert second.summary.coverage.blind == first.summary.coverage.blind
    assert second.summary.start == first.summary.start


def test_a_checkpoint_after_which_nothing_is_left_to_train_has_the_report_of_its_run(tmp_path):
    first, second = (VitalsCallback(reporters=[], strict=True) for _ in range(2))
    fit(Sick, first, epochs=1, path=tmp_path / "a.ckpt")
    module = fit(Sick, second, epochs=1, resume=tmp_path / "a.ckpt")
    assert told(second)[0] == told(first)[0]
    assert not any(m._forward_hooks for m in module.modules())


def test_what_reporters_hear_of_both_parts_is_what_they_hear_of_the_whole(tmp_path):
    whole, first, second = MemoryReporter(), MemoryReporter(), MemoryReporter()
    fit(Sick, VitalsCallback(reporters=[whole]), epochs=2)
    fit(Sick, VitalsCallback(reporters=[first]), epochs=1, path=tmp_path / "a.ckpt")
    fit(Sick, VitalsCallback(reporters=[second]), epochs=2, resume=tmp_path / "a.ckpt")
    assert [*first.news, *second.news] == whole.news
    assert Severity.CRITICAL in {incident.severity for _, incident in first.news}
    assert [s.step for s in second.snapshots] == list(range(30, 60))


def test_a_recording_goes_on_behind_the_checkpoint(tmp_path):
    record = tmp_path / "run.jsonl"
    callback = VitalsCallback(reporters=[JsonlReporter(record, every=1)], strict=True)
    fit(Healthy, callback, epochs=1, path=tmp_path / "a.ckpt")
    fit(Healthy, callback, epochs=2)  # forgotten, but the line that was being written is there
    record.write_bytes(record.read_bytes() + b'{"type": "snapsh')
    again = VitalsCallback(reporters=[JsonlReporter(record, every=1)], strict=True)
    fit(Healthy, again, epochs=2, resume=tmp_path / "a.ckpt")
    recording = read(record)
    assert [s.step for s in recording.snapshots] == list(range(60))
    assert recording.summary is not None
    assert recording.summary.coverage.steps == 60


def test_a_checkpoint_holds_plain_values_and_little_of_us(tmp_path):
    for name, callbacks in (("bare", []), ("watched", [VitalsCallback(reporters=[])])):
        torch.manual_seed(0)
        trainer = trainer_of(*callbacks, max_epochs=2)
        trainer.fit(Healthy(), data(30))
        trainer.save_checkpoint(tmp_path / name)
    loaded = torch.load(tmp_path / "watched", weights_only=True)
    (state,) = loaded["callbacks"].values()
    assert {type(value) for value in state.values()} <= {int, str, bool, torch.Tensor}
    assert os.path.getsize(tmp_path / "watched") < os.path.getsize(tmp_path / "bare") + 60_000


def test_a_checkpoint_of_a_run_without_us_is_gone_on_from_with_a_sentence(tmp_path):
    trainer = trainer_of()
    trainer.fit(Healthy(), data(30))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    callback = VitalsCallback(reporters=[], strict=True)
    fit(Healthy, callback, epochs=2, resume=tmp_path / "a.ckpt")
    assert callback.summary.coverage.steps == 30
    assert any("the checkpoint holds no record of them" in s for s in callback.summary.coverage.blind)
    assert callback.summary.verdict == "healthy"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: state | {"format": 99},
        lambda state: state | {"packed": state["packed"][:-20]},
        lambda _: {"something": "else"},
        lambda state: {**state, "packed": None},
    ],
    ids=["of another version", "cut off", "of another class", "empty"],
)
def test_a_state_that_cannot_be_read_leaves_a_fresh_watch_and_a_sentence(spoil, tmp_path):
    first = VitalsCallback(reporters=[], strict=True)
    fit(Healthy, first, epochs=1, path=tmp_path / "a.ckpt")
    checkpoint = torch.load(tmp_path / "a.ckpt", weights_only=True)
    checkpoint["callbacks"] = {first.state_key: spoil(first.state_dict())}
    torch.save(checkpoint, tmp_path / "b.ckpt")
    callback = VitalsCallback(reporters=[], strict=True)
    fit(Healthy, callback, epochs=2, resume=tmp_path / "b.ckpt")
    (sentence,) = [s for s in callback.summary.coverage.blind if "record is not read" in s]
    assert callback.summary.coverage.steps == 30
    assert callback.summary.verdict == "healthy"
    assert sentence.endswith(".")


def test_several_callbacks_in_one_trainer_each_find_their_own(tmp_path):
    def make():
        return [
            VitalsCallback(reporters=[], strict=True),
            VitalsCallback(reporters=[], diagnostics=["non-finite"], strict=True),
            VitalsCallback(reporters=[MemoryReporter()], strict=True),
        ]

    first = make()
    trainer = trainer_of(*first)
    trainer.fit(Sick(), data(30))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    second = make()
    trainer_of(*second, max_epochs=2, max_steps=31).fit(Sick(), data(30), ckpt_path=tmp_path / "a.ckpt")
    for before, after in zip(first, second, strict=True):
        assert after.summary.coverage.steps == 31
        assert after.summary.coverage.judged == before.summary.coverage.judged
        assert {i.code for i in before.summary.incidents} <= {i.code for i in after.summary.incidents}
    assert len({callback.state_key for callback in first}) == 3


def test_model_checkpoint_in_the_middle_of_an_epoch_saves_the_step_that_is_over(tmp_path):
    save = ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=10, save_top_k=-1)
    callback = VitalsCallback(reporters=[], strict=True)
    trainer_of(callback, save, enable_checkpointing=True).fit(Healthy(), data(30))
    steps = set()
    for path in tmp_path.glob("*.ckpt"):
        state = torch.load(path, weights_only=True)
        steps.add((state["global_step"], unpacked(state["callbacks"][callback.state_key])["step"]))
    assert steps == {(10, 10), (20, 20), (30, 30)}


def test_an_interrupted_run_leaves_its_last_step_in_the_checkpoint_of_the_exception(tmp_path):
    class Breaks(Healthy):
        def training_step(self, batch, batch_idx):
            if self.global_step == 42 and not (tmp_path / "a.ckpt").exists():
                raise RuntimeError("mine")
            return self.loss(batch)

    class Saves(pl.Callback):
        def on_exception(self, trainer, pl_module, exception):
            trainer.save_checkpoint(tmp_path / "a.ckpt")

    callback = VitalsCallback(reporters=[], strict=True)
    with pytest.raises(RuntimeError, match="mine"):
        trainer_of(callback, Saves(), max_epochs=2).fit(Breaks(), data(30))
    state = torch.load(tmp_path / "a.ckpt", weights_only=True)["callbacks"][callback.state_key]
    assert unpacked(state)["step"] == callback.summary.coverage.steps == 42
    assert callback.summary.verdict == "healthy"
