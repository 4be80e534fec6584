"""A recorder writes a step in which something goes wrong, and leaves the training alone."""

import copy
import os
import pickle
import random
from typing import Any, cast

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn

import torchvitals
from tests.support import captured
from tests.support.captured import EVERY_STEP, SELDOM, train
from tests.support.networks import NETWORKS, batches
from torchvitals import Recorder, recorder
from torchvitals.adapters.lightning import VitalsCallback
from torchvitals.captures.capture import read
from torchvitals.captures.kept import Landing
from torchvitals.core.errors import FieldError
from torchvitals.probes.subject import Subject
from torchvitals.reporters.text import render
from torchvitals.rerun import rerun


def files(folder):
    return sorted(path.name for path in folder.glob("**/*") if path.is_file())


# -- the training is left alone


def trained(name, tmp_path, *, recorder, schedule=EVERY_STEP):
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    model = NETWORKS[name]()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    vitals = None
    if recorder is not None:
        vitals = torchvitals.watch(
            model, optimizer, reporters=[], schedule=schedule, strict=True, recorder=recorder
        )
    for i, (drawn, y) in enumerate(batches(name, 9)):
        x = drawn * np.random.rand() if drawn.is_floating_point() else drawn  # noqa: NPY002
        loss = F.cross_entropy(model(x), y, label_smoothing=random.random() / 10)
        loss = loss * (float("inf") if i == 7 else 1.0)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_value_(model.parameters(), 0.1)
        optimizer.step()
        if vitals is not None:
            vitals.step(loss)
    if vitals is not None:
        vitals.close()
    words: Any = np.random.get_state()  # noqa: NPY002
    states = torch.get_rng_state(), random.getstate(), words[1].tolist(), words[2:]
    return model, states, vitals


@pytest.mark.parametrize("schedule", [EVERY_STEP, SELDOM], ids=["due", "not-due"])
@pytest.mark.parametrize("name", NETWORKS)
def test_weights_and_random_states_are_bitwise_those_without_a_recorder(name, tmp_path, schedule):
    bare, states, _ = trained(name, tmp_path, recorder=None)
    model, ours, vitals = trained(name, tmp_path, recorder=Recorder(tmp_path), schedule=schedule)
    assert vitals is not None
    assert any(path.endswith("step-7.npz") for path in vitals.summary.captures)
    for (key, a), b in zip(bare.state_dict().items(), model.state_dict().values(), strict=True):
        assert torch.equal(torch.nan_to_num(a), torch.nan_to_num(b)), key
        assert torch.equal(a.isnan(), b.isnan()), key
    assert torch.equal(states[0], ours[0])
    assert states[1:] == ours[1:]


def test_no_trace_stays_on_the_model(tmp_path):
    model = captured.healthy()
    train(model, str(tmp_path))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_copy_of_a_model_is_not_recorded(tmp_path):
    model = captured.healthy()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with torchvitals.watch(model, optimizer, reporters=[], recorder=str(tmp_path), strict=True) as vitals:
        keeper = vitals._monitor._recorder
        assert keeper is not None
        twin = copy.deepcopy(model)
        twin(torch.randn(4, 8)).sum().backward()
        pickle.loads(pickle.dumps(model))(torch.randn(4, 8))
        assert keeper._iteration.calls == []
        model(torch.randn(4, 8)).sum().backward()
        assert len(keeper._iteration.calls) == 1


def test_sparse_outputs_are_left_out(tmp_path):
    class Sparse(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.randn(6, 3))

        def forward(self, x):
            return (x @ self.w).to_sparse(1)

    model = Sparse()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with torchvitals.watch(model, optimizer, reporters=[], recorder=tmp_path, strict=True) as vitals:
        loss = torch.sparse.sum(model(torch.randn(4, 6)))
        loss.backward()
        optimizer.step()
        vitals.step(loss)


def test_a_training_that_goes_on_stays_within_the_captures_of_the_whole(tmp_path):
    recorder = torchvitals.Recorder(tmp_path, max_captures=1)
    first = train(captured.with_log(), recorder)
    assert len(first.summary.captures) == 1
    model = captured.with_log()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with torchvitals.watch(model, optimizer, reporters=[], recorder=recorder, strict=True) as vitals:
        vitals.load_state_dict(first.state_dict())
        assert vitals.summary.captures == first.summary.captures
        loss = model(torch.randn(4, 8)).sum() * float("nan")
        loss.backward()
        optimizer.step()
        vitals.step(loss)
    assert vitals.summary.captures == first.summary.captures


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # the compiler's own
def test_a_recorder_compiles_nothing_anew(tmp_path):
    compiled = []

    def backend(graph, _):
        compiled.append(graph)
        return graph.forward

    model = captured.healthy()
    model.compile(backend=backend)
    train(model, str(tmp_path), steps=4)
    without = len(compiled)
    torch._dynamo.reset()
    bare = captured.healthy()
    bare.compile(backend=backend)
    train(bare, None, steps=4)
    assert without == len(compiled) - without


def test_without_a_recorder_and_in_health_no_file_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(captured.with_log(), None)
    assert train(captured.healthy(), "captures", steps=40).summary.captures == ()
    assert files(tmp_path) == []


def test_inputs_of_old_steps_are_let_go(tmp_path):
    model = captured.healthy()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recorder = Recorder(tmp_path, steps=3)
    with torchvitals.watch(model, optimizer, reporters=[], recorder=recorder, strict=True) as vitals:
        for _ in range(9):
            x = torch.randn(4, 8)
            loss = model(x).square().sum()
            loss.backward()
            optimizer.step()
            vitals.step(loss)
            optimizer.zero_grad()
        probe = vitals._monitor._recorder
        assert probe is not None
        assert [step.step for step in probe.kept] == [6, 7, 8]
        assert sum(len(step.tensors) for step in probe.kept) == 6  # an input and a gradient each


# -- when


def ill(model):
    """With several illnesses at the start."""
    for name in ("0.0.weight", "2.weight"):
        nn.init.zeros_(model.get_parameter(name))
    return model


def test_a_step_that_the_scaler_skips_is_no_reason(tmp_path):
    torch.manual_seed(0)
    model = captured.healthy()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    skipped = 0
    with torchvitals.watch(
        model, optimizer, reporters=[], scaler=scaler, recorder=str(tmp_path), strict=True, schedule=SELDOM
    ) as vitals:
        for _ in range(12):
            loss = F.cross_entropy(model(torch.randn(16, 8)), torch.randint(0, 4, (16,)))
            optimizer.zero_grad()
            scaler.scale(loss * 1e3).backward()
            scaler.step(optimizer)
            before = scaler.get_scale()
            scaler.update()
            skipped += scaler.get_scale() < before
            vitals.step(loss)
    assert skipped > 2
    assert files(tmp_path) == []


def test_the_last_file_is_for_a_nan(tmp_path):
    recorder = Recorder(tmp_path, max_captures=2)
    model = ill(captured.with_log())
    vitals = train(model, recorder, at=60, steps=64, schedule=EVERY_STEP)
    assert len(vitals.summary.captures) == 2
    first, last = (read(path) for path in vitals.summary.captures)
    assert "the first NaN or Inf" not in first.header["triggers"]
    assert last.header["triggers"][0] == "the first NaN or Inf"


def test_an_incident_that_opens_is_captured_with_the_incidents_until_then(tmp_path):
    model = ill(captured.healthy())
    vitals = train(model, str(tmp_path), steps=64, schedule=EVERY_STEP)
    capture = read(vitals.summary.captures[0])
    (trigger, *_) = capture.header["triggers"]
    (incident, *_) = capture.summary.incidents
    assert trigger == f"{incident.severity.name} {incident.code} {incident.name}"
    assert capture.snapshots[-1].step == capture.step
    assert capture.header["weights"] is None
    assert "no gradient was NaN" in capture.header["weights_why"]


# -- what


def test_a_batch_that_was_overwritten_in_place_is_told_and_not_pretended(tmp_path, capsys):
    class Spoils(nn.Module):
        def forward(self, x):
            out = torch.log(x)
            x[0, 1] = 0.0  # one entry, and none of those that are compared later
            return out

    def model():
        torch.manual_seed(0)
        return nn.Sequential(captured.Gate(Spoils(), on=True), nn.Linear(8, 4))

    (path,) = train(model(), str(tmp_path)).summary.captures
    capture = read(path)
    assert "input: it was overwritten in place" in capture.header["notes"][0]
    with pytest.raises(torchvitals.TorchvitalsError, match="input is not in the capture: it was overwritten"):
        rerun(capture, model())


def test_a_batch_that_was_overwritten_behind_autograd_is_noticed(tmp_path):
    memory = np.zeros((16, 8), np.float32)
    model = captured.with_log()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with torchvitals.watch(model, optimizer, reporters=[], recorder=str(tmp_path), strict=True) as vitals:
        memory[:] = 1
        loss = model(torch.from_numpy(memory)).square().sum()
        loss.backward()
        memory[:] = 2
        optimizer.step()
        vitals.step(loss)
    (path, *_) = vitals.summary.captures
    assert "input: it was overwritten in place" in read(path).header["notes"][0]


def test_no_file_is_larger_than_was_allowed(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(1000, 1000), captured.Gate(captured.Log(), on=True), nn.Linear(1000, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recorder = Recorder(tmp_path, max_mb=1)
    with torchvitals.watch(model, optimizer, reporters=[], recorder=recorder, strict=True) as vitals:
        for rows in (16, 300):
            loss = model(torch.randn(rows, 1000)).sum()
            loss.backward()
            optimizer.step()
            vitals.step(loss)
    captures = [read(path) for path in vitals.summary.captures]
    assert all(os.path.getsize(path) <= 2**20 for path in vitals.summary.captures)
    assert "beyond max_mb" in captures[0].header["weights_why"]


def test_a_batch_beyond_the_size_is_named_in_the_notes(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(1000, 4), captured.Gate(captured.Log(), on=True))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with torchvitals.watch(
        model, optimizer, reporters=[], recorder=Recorder(tmp_path, max_mb=1), strict=True
    ) as vitals:
        loss = model(torch.randn(300, 1000)).sum()
        loss.backward()
        optimizer.step()
        vitals.step(loss)
    (path, *_) = vitals.summary.captures
    assert read(path).header["notes"] == ["input: a tensor of 1.14 MB: beyond max_mb"]


def test_all_micro_batches_of_a_step_are_there(tmp_path):
    torch.manual_seed(0)
    model = captured.with_log()
    (gate,) = captured.gates(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    given = []
    with torchvitals.watch(
        model, optimizer, reporters=[], recorder=str(tmp_path), strict=True, schedule=SELDOM
    ) as vitals:
        for i in range(12):
            gate.on = i == 10
            given.append(torch.randn(4, 8))
            loss = model(given[-1]).square().mean()
            loss.backward()
            if i % 3 == 2:
                optimizer.step()
                optimizer.zero_grad()
            vitals.step(loss)
    (path,) = vitals.summary.captures
    capture = read(path)
    assert [i["index"] for i in capture.header["iterations"]] == [9, 10, 11]
    kept = [
        capture.tensor(i["calls"][0]["given"]["list"][0]["tuple"][0]["tensor"])
        for i in capture.header["iterations"]
    ]
    assert all(map(torch.equal, kept, given[9:]))


def test_the_report_says_where_captures_are_and_the_summary_survives_json(tmp_path):
    summary = train(captured.with_log(), str(tmp_path)).summary
    assert f"captured  {tmp_path}/step-7.npz" in render(summary)
    assert torchvitals.Summary.from_dict(summary.to_dict()).captures == summary.captures


def test_the_console_says_where_captures_are_also_without_a_report(tmp_path, capsys):
    model = captured.with_log()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with torchvitals.watch(model, optimizer, recorder=Recorder(tmp_path / "captures", max_mb=8)) as vitals:
        for _ in range(3):
            loss = model(torch.randn(16, 8)).square().mean()
            loss.backward()
            optimizer.step()
            vitals.step(loss)
    assert f"captured  {tmp_path}/captures/step-0.npz" in capsys.readouterr().err


def test_a_model_of_which_only_children_are_called_is_a_blind_spot(tmp_path):
    model = nn.ModuleDict({"one": nn.Linear(8, 8), "two": nn.Linear(8, 4)})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with torchvitals.watch(model, optimizer, reporters=[], recorder=str(tmp_path), strict=True) as vitals:
        for _ in range(3):
            loss = model["two"](model["one"](torch.randn(4, 8))).square().sum()
            loss.backward()
            optimizer.step()
            vitals.step(loss)
    assert any("Captures hold no batch" in s for s in vitals.coverage.blind)


def test_withseveral_ranks_ranks_each_writes_its_own_file(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder, "several_ranks", lambda: True)
    monkeypatch.setattr(recorder, "_rank", lambda: 3)
    train(captured.with_log(), str(tmp_path))
    assert files(tmp_path) == ["step-7-rank3.npz"]


def test_a_file_is_written_once_its_tensors_have_arrived_and_nothing_waits_for_them(tmp_path, monkeypatch):
    asked = []

    def ready(self):
        asked.append(files(tmp_path))
        return len(asked) > 3

    monkeypatch.setattr(Landing, "ready", ready)
    train(captured.with_log(), str(tmp_path), steps=20)
    assert asked[:4] == [[]] * 4
    assert files(tmp_path) == ["step-7.npz"]


def test_what_has_not_arrived_is_written_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(Landing, "ready", lambda _: False)
    vitals = train(captured.with_log(), str(tmp_path), steps=20)
    assert vitals.summary.captures == (f"{tmp_path}/step-7.npz",)


def test_on_a_device_that_cannot_be_read_nothing_is_read(tmp_path):
    model = captured.healthy().to("meta")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    keeper = Recorder(tmp_path).probe()
    keeper.start(Subject(model, [optimizer]), frozenset())
    for _ in range(3):
        keeper.begin(None, 0)
        model(torch.randn(4, 8, device="meta")).sum().backward()
        keeper.gradients_ready(due=False)
        keeper.collect()
    keeper.close()
    assert len(keeper.kept) == 3


# -- failures


@pytest.mark.parametrize("strict", [False])
def test_a_folder_that_cannot_be_made_is_a_note_and_no_exception(tmp_path, strict):
    (tmp_path / "file").touch()
    vitals = train(captured.with_log(), str(tmp_path / "file" / "captures"), strict=strict)
    assert any("recorder raised NotADirectoryError" in sentence for sentence in vitals.coverage.blind)
    assert vitals.summary.captures == ()
    assert vitals.incidents[0].code == "TV203"


def test_a_full_disk_is_a_note_and_leaves_no_hook(tmp_path, monkeypatch):
    def full(file, **arrays):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    model = captured.with_log()
    vitals = train(model, str(tmp_path), strict=False)
    assert any("No space left on device" in sentence for sentence in vitals.coverage.blind)
    assert files(tmp_path) == []
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize(
    ("field", "value"),
    [("folder", 3), ("steps", 0), ("steps", 1.5), ("max_mb", 0), ("max_mb", "1"), ("max_captures", 0)],
)
def test_the_users_mistakes_raise_when_the_recorder_is_built(field, value):
    with pytest.raises(FieldError, match=f"Recorder.{field}={value!r} is not possible"):
        Recorder(**{"folder": "captures", field: value})


def test_a_recorder_that_is_none_is_refused():
    with pytest.raises(FieldError, match="recorder=True is not possible"):
        train(captured.healthy(), True)
    with pytest.raises(FieldError, match="recorder=True is not possible"):
        VitalsCallback(recorder=cast("Any", True))


# -- Lightning


class Module(pl.LightningModule):
    """Calls its network and not itself, as many do."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.network = captured.with_log()

    def training_step(self, batch, batch_idx):
        if self._trainer is not None:
            captured.gates(self)[0].on = self.global_step >= 5
        loss = F.cross_entropy(self.network(batch["x"]), batch["y"])
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(callback, *, precision: Any = "32-true"):
    torch.manual_seed(0)
    made: Any = [{"x": torch.randn(16, 8), "y": torch.randint(0, 4, (16,))} for _ in range(8)]
    module = Module()
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        precision=precision,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[callback] if callback else [],
    )
    trainer.fit(module, torch.utils.data.DataLoader(made, batch_size=None))
    return module, made


@pytest.mark.filterwarnings("ignore:You are trying to `self.log")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_lightning_fit_is_captured_with_its_batch_and_runs_again_by_its_training_step(tmp_path, precision):
    callback = VitalsCallback(reporters=[], schedule=SELDOM, strict=True, recorder=tmp_path)
    bare, _ = fit(None, precision=precision)
    module, made = fit(callback, precision=precision)
    for a, b in zip(bare.parameters(), module.parameters(), strict=True):
        assert torch.equal(a.isnan(), b.isnan())
    (path,) = callback.summary.captures
    capture = read(path)
    assert capture.step == 5
    (iteration,) = capture.header["iterations"]
    assert iteration["autocast"] == (["cpu", "bfloat16"] if precision == "bf16-mixed" else None)
    found = rerun(capture, Module())
    assert found.birth is not None
    assert (found.birth.op, found.birth.module) == ("aten.log", "network.1.inner")
    key = iteration["batch"]["dict"][0][1]["tensor"]
    assert torch.equal(capture.tensor(key), made[5]["x"])
