"""What the adapters tell beside the probes: scaler, validation, and iterations that end without a step."""

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.plugins import MixedPrecision
from torch import nn

import torchvitals
from tests.probes.watching import mlp, needing, sgd, watched
from torchvitals.adapters.lightning import VitalsCallback
from torchvitals.reporters import MemoryReporter


def loss_of(model):
    return F.cross_entropy(model(torch.randn(8, 4)), torch.randint(0, 3, (8,)))


# -- the scaler


def amp_run(*, init_scale, told, steps=16, accumulate=1):
    torch.manual_seed(0)
    model = mlp()
    optimizer, scaler = sgd(model), torch.amp.GradScaler("cpu", init_scale=init_scale)
    scales = []
    with watched(model, optimizer, "update", scaler=scaler if told else None) as vitals:
        for i in range(steps):
            with torch.autocast("cpu", torch.float16):
                loss = (model(torch.randn(8, 4)) - 1).square().mean()
            scaler.scale(loss).backward()
            if i % accumulate == accumulate - 1:
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad()
                scales.append(scaler.get_scale())
            vitals.step(loss)
    return vitals.snapshots, scales


def test_steps_that_the_scaler_skipped_are_snapshots_of_their_own():
    snapshots, scales = amp_run(init_scale=2.0**24, told=True)
    assert len(snapshots) == 16
    assert [s.scalars["loss_scale"] for s in snapshots] == scales
    skipped = ["skipped" in s.labels for s in snapshots]
    fell = [after < before for before, after in zip([2.0**24, *scales], scales, strict=False)]
    assert skipped == fell
    assert 0 < sum(skipped) < 16
    assert {s.labels["skipped"] for s in snapshots if "skipped" in s.labels} == {"scaler"}


def test_micro_batches_are_no_skipped_steps():
    snapshots, _ = amp_run(init_scale=1.0, told=True, accumulate=2)
    assert len(snapshots) == 8
    assert not any("skipped" in s.labels for s in snapshots)


def test_a_scaler_that_nobody_told_of_is_met_in_the_first_step_that_it_lets_through():
    snapshots, scales = amp_run(init_scale=2.0**24, told=False)
    assert not any("stepped" in s.labels for s in snapshots)
    assert "skipped" not in snapshots[0].labels
    assert [s.scalars["loss_scale"] for s in snapshots] == scales[-len(snapshots) :]


def test_a_scaler_that_nobody_told_of_is_not_taken_for_a_missing_step():
    snapshots, _ = amp_run(init_scale=2.0**60, told=False)
    assert snapshots == []


def test_a_scaler_that_is_off_has_no_scale():
    model = mlp()
    optimizer, scaler = sgd(model), torch.amp.GradScaler("cpu", enabled=False)
    with watched(model, optimizer, "update", scaler=scaler) as vitals:
        scaler.scale(loss_of(model)).backward()
        scaler.step(optimizer)
        scaler.update()
        vitals.step()
    assert "loss_scale" not in vitals.snapshots[0].scalars


def test_what_is_no_scaler_is_refused():
    with pytest.raises(torchvitals.TorchvitalsError, match=r"scaler=1024.*GradScaler or None"):
        torchvitals.watch(mlp(), reporters=[], scaler=1024)


# -- validation


def test_a_validation_loss_is_told_by_the_next_snapshot_alone():
    model = mlp()
    optimizer = sgd(model)
    with watched(model, optimizer, "update") as vitals:
        for i in range(4):
            loss_of(model).backward()
            optimizer.step()
            optimizer.zero_grad()
            vitals.step()
            if i % 2:
                vitals.validation(torch.tensor(float(i)) if i == 1 else float(i))
    assert [s.scalars.get("val_loss") for s in vitals.snapshots] == [None, None, 1.0, None]


class Module(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = mlp()

    def training_step(self, batch, batch_idx):
        return F.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", torch.tensor(float(self.global_step)))

    def configure_optimizers(self):
        return sgd(self.net, 0.1)


def fit(module, *, batches=4, kinds=("update",), **options):
    keep = MemoryReporter()
    needy = needing(*kinds)
    callback = VitalsCallback(diagnostics=[needy], reporters=[keep], strict=True)
    torch.manual_seed(0)
    data = [(torch.randn(8, 4), torch.randint(0, 3, (8,))) for _ in range(batches)]
    loader = torch.utils.data.DataLoader(data, batch_size=None)  # type: ignore[arg-type]
    quiet = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    trainer = pl.Trainer(accelerator="cpu", callbacks=[callback], **{**quiet, "max_epochs": 3, **options})
    trainer.fit(module, loader, loader)
    return keep.snapshots


def test_lightning_tells_its_validation_loss_but_not_that_of_the_sanity_check():
    snapshots = fit(Module(), num_sanity_val_steps=1)
    told = {s.step: s.scalars["val_loss"] for s in snapshots if "val_loss" in s.scalars}
    assert told == {4: 4.0, 8: 8.0}


def test_lightning_hands_losses_graphs_and_gradients_to_the_probes():
    torch.compiler.reset()
    snapshots = fit(Module(), kinds=("loss", "wiring", "witness", "mixing"), accumulate_grad_batches=2)
    first, second = snapshots[:2]
    assert first["loss"].names == ("cross_entropy",)
    assert first["loss"]["count"].tolist() == [16]
    assert first["wiring"]["reached"].tolist() == [1, 1, 1, 1]
    assert first["mixing"].names[-1] == "net"
    assert second["witness"]["unzeroed"].tolist() == [0]
    assert not any(s["witness"]["unzeroed"].any() for s in snapshots if "witness" in s)


@pytest.mark.parametrize("init_scale", [1024.0, 2.0**30], ids=["fits", "overflows"])
def test_lightning_tells_the_scale_the_skips_and_the_loss_itself(init_scale):
    scaler = torch.amp.GradScaler("cpu", init_scale=init_scale)
    plugin = MixedPrecision("16-mixed", "cpu", scaler)
    snapshots = fit(Module(), kinds=("witness",), plugins=[plugin], limit_val_batches=0, max_epochs=5)
    assert len(snapshots) == 20
    skipped = [s.labels.get("skipped") == "scaler" for s in snapshots]
    assert any(skipped) == (init_scale > 1024)
    assert not all(skipped)
    assert snapshots[-1].scalars["loss_scale"] == scaler.get_scale()
    assert all(0 < s.scalars["loss"] < 5 for s in snapshots)
    told = [s["witness"] for s in snapshots if "witness" in s and s["witness"]["incoming_sq"].any()]
    assert told
    assert all(t["sum_sq"] == pytest.approx(t["incoming_sq"], rel=1e-2) for t in told)


# -- no step


class Unstepped:
    """Iterations of a loop whose watched optimizer never steps."""

    def __init__(self):
        self.model = mlp()
        self.optimizer = sgd(self.model)

    def step(self, i):
        raise NotImplementedError

    def run(self, steps=12):
        with watched(self.model, self.optimizer, "witness") as vitals:
            for i in range(steps):
                self.step(i)
                vitals.step()
        return vitals.snapshots


@pytest.mark.parametrize("to_none", [True, False], ids=["to-none", "to-zero"])
def test_a_step_that_never_comes_is_told_once_gradients_were_thrown_away(to_none):
    class Forgotten(Unstepped):
        def step(self, i):
            self.optimizer.zero_grad(set_to_none=to_none)
            loss_of(self.model).backward()

    snapshots = Forgotten().run()
    assert len(snapshots) == 8
    assert all(s.labels["stepped"] == "no" for s in snapshots)
    assert snapshots[0].scalars["iteration"] == 5
    assert all("gradient_norm" in s.scalars for s in snapshots)


def test_accumulation_over_many_iterations_is_no_missing_step():
    class Patient(Unstepped):
        def step(self, i):
            loss_of(self.model).backward()
            if i == 11:
                self.optimizer.step()

    (snapshot,) = Patient().run()
    assert "stepped" not in snapshot.labels


def test_parameters_that_somebody_else_changes_are_no_missing_step():
    class Replaced(Unstepped):
        def step(self, i):
            other = sgd(self.model)
            loss_of(self.model).backward()
            other.step()
            other.zero_grad()

    assert Replaced().run() == []


def test_gradients_that_are_zero_anyway_are_no_missing_step():
    class Dead(Unstepped):
        def step(self, i):
            self.optimizer.zero_grad()
            (loss_of(self.model) * 0).backward()

    assert Dead().run() == []


def test_once_an_optimizer_stepped_all_is_as_before():
    class Late(Unstepped):
        def step(self, i):
            self.optimizer.zero_grad()
            loss_of(self.model).backward()
            if i >= 6:
                self.optimizer.step()

    assert [s.labels.get("stepped") for s in Late().run(8)] == ["no", "no", None, None]


def test_no_hook_is_left_on_the_parameters():
    model = mlp()
    watched_model = torchvitals.watch(model, sgd(model), reporters=[])
    assert any(p._backward_hooks for p in model.parameters())
    watched_model.close()
    assert not any(p._backward_hooks for p in model.parameters())


def test_a_network_without_trainable_parameters_can_be_watched():
    model = nn.Linear(2, 2).requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watched(model, optimizer, "update") as vitals:
        vitals.step(1.0)
    assert vitals.verdict == "no data"
