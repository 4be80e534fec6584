"""The Lightning adapter where `training_step` steps by hand, and where an optimizer evaluates a closure."""

from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from pytorch_lightning.plugins import MixedPrecision
from torch import nn

from tests.support.lightning import Module, Watched, data, norm_of


class ByHand(Module):
    """Steps by hand; notes losses, and norms as they are before anything clips them."""

    def __init__(self, optimizer=None):
        super().__init__(optimizer)
        self.automatic_optimization = False
        self.told: list[float] = []

    @property
    def sole(self) -> Any:
        """The only optimizer, as Lightning wraps it."""
        return self.optimizers()

    def back(self, loss):
        self.told.append(loss.item())
        self.manual_backward(loss)


class TwoSteps(ByHand):
    """Two steps with each batch."""

    def training_step(self, batch, batch_idx):
        for _ in range(2):
            self.sole.zero_grad()
            self.back(self.loss(batch))
            self.sole.step()


def scaled():
    return [MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=1024.0))]


@pytest.mark.parametrize("plugins", [None, scaled], ids=["float32", "scaled"])
def test_each_of_several_steps_with_one_batch_is_a_step(plugins):
    run = Watched(TwoSteps, data(8), plugins=plugins)
    assert [s.step for s in run.keep.snapshots] == list(range(16))
    assert run.norms == pytest.approx(run.module.norms, rel=1e-5)
    assert [s.loss for s in run.keep.snapshots] == pytest.approx(run.module.told, rel=1e-3)
    assert run.keep.snapshots[-1].scalars["iteration"] in (7, 8)
    assert all(s.labels["clipped"] == "unknown" and "skipped" not in s.labels for s in run.keep.snapshots)
    assert run.summary.verdict == "healthy"


class EveryThird(ByHand):
    """A step every third batch, clipped by hand."""

    def training_step(self, batch, batch_idx):
        self.back(self.loss(batch) / 3)
        if batch_idx % 3 == 2:
            nn.utils.clip_grad_norm_(self.parameters(), 0.01)
            self.sole.step()
            self.sole.zero_grad()


def test_batches_without_a_step_belong_to_the_step_to_come():
    run = Watched(EveryThird, data(12))
    losses = run.module.told
    assert len(run.keep.snapshots) == 4
    assert run.norms == pytest.approx([0.01] * 4, rel=1e-3)
    means = [sum(losses[i : i + 3]) / 3 for i in range(0, 12, 3)]
    assert [s.loss for s in run.keep.snapshots] == pytest.approx(means, rel=1e-5)
    assert run.summary.verdict == "healthy"


class InParts(ByHand):
    """Two backward passes for each step, whose gradients add up."""

    def training_step(self, batch, batch_idx):
        self.sole.zero_grad()
        for half in (slice(0, 8), slice(8, 16)):
            self.back(self.loss((batch[0][half], batch[1][half])) / 2)
        self.sole.step()


def test_the_loss_of_several_backward_passes_is_that_whose_gradient_is_consumed():
    run = Watched(InParts, data(8))
    told = run.module.told
    assert [s.loss for s in run.keep.snapshots] == pytest.approx(
        [told[i] + told[i + 1] for i in range(0, 16, 2)], rel=1e-5
    )
    assert run.norms == pytest.approx(run.module.norms, rel=1e-5)


class WithClosure(ByHand):
    def training_step(self, batch, batch_idx):
        def closure():
            self.sole.zero_grad()
            self.back(self.loss(batch))

        self.sole.step(closure)


@pytest.mark.parametrize("plugins", [None, scaled], ids=["float32", "scaled"])
def test_a_closure_given_to_a_step_is_followed(plugins):
    run = Watched(WithClosure, data(8), plugins=plugins)
    assert run.norms == pytest.approx(run.module.norms, rel=1e-5)
    assert [s.loss for s in run.keep.snapshots] == pytest.approx(run.module.told, rel=1e-3)
    assert run.summary.coverage.measured["update"] == 4
    assert run.summary.verdict == "healthy"


class Gan(Module):
    """A generator and a discriminator, each toggled for its turn; the latter has `turns` a batch."""

    def __init__(self, *, turns: int = 1, every: int = 1):
        super().__init__()
        self.automatic_optimization = False
        self.turns, self.every = turns, every
        del self.net
        self.g = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 8))
        self.d = nn.Sequential(nn.Linear(8, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
        self.sizes: dict[str, list[float]] = {"g": [], "d": []}

    def configure_optimizers(self):
        make = [torch.optim.Adam(net.parameters(), lr=2e-3, betas=(0.5, 0.999)) for net in (self.g, self.d)]
        return make, [torch.optim.lr_scheduler.StepLR(optimizer, 50) for optimizer in make]

    def on_before_optimizer_step(self, optimizer):
        first = optimizer.param_groups[0]["params"][0]
        self.sizes["g" if first is self.g[0].weight else "d"].append(norm_of(optimizer))

    def training_step(self, batch, batch_idx) -> Any:
        g, d = cast("Any", self.optimizers())
        noise, one = torch.randn(16, 4), torch.ones(16, 1)
        for _ in range(self.turns):
            self.toggle_optimizer(d)
            d.zero_grad()
            fake = self.g(noise).detach()
            judged = F.binary_cross_entropy_with_logits(self.d(batch[0]), one)
            self.manual_backward(judged + F.binary_cross_entropy_with_logits(self.d(fake), 0 * one))
            d.step()
            self.untoggle_optimizer(d)
        if batch_idx % self.every == 0:
            self.toggle_optimizer(g)
            g.zero_grad()
            self.manual_backward(F.binary_cross_entropy_with_logits(self.d(self.g(noise)), one))
            g.step()
            self.untoggle_optimizer(g)
        for scheduler in cast("Any", self.lr_schedulers()):
            scheduler.step()


def sizes(run, part):
    """Norms of the gradients of one half, of the steps in which it has any."""
    found = []
    for snapshot in run.keep.snapshots:
        table = snapshot["gradient"]
        rows = [i for i, name in enumerate(table.names) if name.startswith(part)]
        found += [sum(table["sum_sq"][rows]) ** 0.5] if rows else []
    return found


def test_generator_and_discriminator_make_a_step_together():
    run = Watched(Gan, data(24))
    assert len(run.keep.snapshots) == 24
    for part in "gd":
        assert sizes(run, part) == pytest.approx(run.module.sizes[part], rel=1e-5)
    for snapshot in run.keep.snapshots:
        assert len(snapshot["update"]) == len(snapshot["parameter"]) == 8
        assert snapshot["parameter"]["trainable"].all()
        assert snapshot["update"].norm.min() > 0
        assert snapshot.loss is None  # which of the two?
    assert run.summary.verdict == "healthy"


@pytest.mark.parametrize(("turns", "every"), [(3, 1), (1, 4), (2, 3)])
def test_turns_that_are_not_even_are_told_apart(turns, every):
    run = Watched(lambda: Gan(turns=turns, every=every), data(24))
    assert len(run.keep.snapshots) == turns * 24
    for part in "gd":
        assert sizes(run, part) == pytest.approx(run.module.sizes[part], rel=1e-5)
    assert run.summary.verdict == "healthy"


class Named(Gan):
    def training_step(self, batch, batch_idx):
        super().training_step(batch, batch_idx)
        return {"loss": torch.tensor(float(batch_idx))}


def test_a_loss_that_a_training_step_names_is_told():
    run = Watched(Named, data(8))
    assert [s.loss for s in run.keep.snapshots] == list(range(8))


class Halves(Module):
    """One loss, two optimizers."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def configure_optimizers(self):
        return [torch.optim.SGD(self.net[0].parameters(), lr=0.1), torch.optim.Adam(self.net[3].parameters())]

    def training_step(self, batch, batch_idx):
        loss = self.loss(batch)
        self.zero_grad()
        self.manual_backward(loss)
        for optimizer in cast("Any", self.optimizers()):
            optimizer.step()


def test_one_loss_of_two_optimizers_is_told():
    run = Watched(Halves, data(16))
    assert all(s.loss is not None for s in run.keep.snapshots)
    pairs = zip(run.module.norms[::2], run.module.norms[1::2], strict=True)
    assert run.norms == pytest.approx([(a * a + b * b) ** 0.5 for a, b in pairs], rel=1e-5)
    assert run.keep.snapshots[0].labels["optimizer"] == "SGD+Adam"
    assert run.summary.verdict == "healthy"


def lbfgs(parameters):
    return torch.optim.LBFGS(parameters, lr=0.1, max_iter=4)


class NoDropout(Module):
    def __init__(self, optimizer=None):
        super().__init__(optimizer)
        self.net[2] = nn.Dropout(0.0)
        self.steps: list[list[float]] = []

    def on_train_batch_start(self, batch, batch_idx):
        self.steps.append([])

    def on_before_optimizer_step(self, optimizer):
        self.steps[-1].append(norm_of(optimizer))


def test_of_the_gradients_of_lbfgs_the_last_count():
    run = Watched(lambda: NoDropout(lbfgs), data(8))
    assert len(run.keep.snapshots) == 8
    assert min(len(step) for step in run.module.steps) > 1
    assert run.norms == pytest.approx([step[-1] for step in run.module.steps], rel=1e-5)
    assert run.summary.verdict == "healthy"


@pytest.mark.filterwarnings("ignore:`training_step` returned `None`")
def test_a_training_step_that_leaves_batches_out_is_no_illness():
    class Leaves(Module):
        def training_step(self, batch, batch_idx):
            return None if batch_idx % 3 == 1 else self.loss(batch)

    run = Watched(Leaves, data(24))
    assert len(run.keep.snapshots) == 24
    assert run.keep.snapshots[1].loss is None
    assert run.summary.verdict == "healthy"
