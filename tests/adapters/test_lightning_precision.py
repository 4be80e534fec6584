"""The Lightning adapter where numbers are narrow, scaled, accumulated and clipped."""

import math

import pytest
import torch
import torch.nn.functional as F
from pytorch_lightning.plugins import MixedPrecision

from tests.support.lightning import Module, Watched, data, norm_of
from torchvitals import Severity


def adamw(**options):
    return lambda parameters: torch.optim.AdamW(parameters, lr=0.01, **options)


def scaled(**options):
    """A maker of Lightning's plugin for float16 with a scaler on the CPU."""
    given = {"init_scale": 1024.0, **options}
    return lambda: [MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", **given))]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true", "64-true"])
@pytest.mark.parametrize("clip", [{}, {"gradient_clip_val": 0.01}], ids=["unclipped", "clipped"])
def test_each_precision_trains_as_without_us_and_shows_its_gradients_before_clipping(precision, clip):
    run = Watched(lambda: Module(adamw()), data(12), precision=precision, **clip)
    assert run.norms == pytest.approx(run.module.norms, rel=1e-2 if precision == "bf16-true" else 1e-5)
    assert min(run.norms) > 0.05
    assert run.summary.verdict == "healthy"
    assert all(s.labels["clipped"] == "no" for s in run.keep.snapshots)


@pytest.mark.parametrize("clip", [None, 0.01])
def test_with_a_scaler_gradients_are_those_without_its_scale(clip):
    run = Watched(lambda: Module(adamw()), data(12), plugins=scaled(), gradient_clip_val=clip)
    assert run.norms == pytest.approx(run.module.norms, rel=1e-5)
    assert all(s.scalars["loss_scale"] == 1024 for s in run.keep.snapshots)
    assert max(s.loss or 0 for s in run.keep.snapshots) < 3
    assert run.summary.verdict == "healthy"


def test_gradients_that_a_fused_optimizer_gets_scaled_are_told_without_the_scale():
    run = Watched(lambda: Module(adamw(fused=True)), data(12), plugins=scaled())
    assert run.module.norms[0] > 100  # what the hooks of Lightning see
    assert run.norms == pytest.approx([norm / 1024 for norm in run.module.norms], rel=1e-5)
    assert run.summary.verdict == "healthy"


@pytest.mark.parametrize("fused", [False, True])
def test_overflows_at_the_start_are_skips_and_no_illness(fused):
    run = Watched(
        lambda: Module(adamw(fused=fused)), data(40), plugins=scaled(init_scale=2.0**24, growth_interval=500)
    )
    skipped = [s.step for s in run.keep.snapshots if s.labels.get("skipped") == "scaler"]
    halvings = 24 - math.log2(run.keep.snapshots[-1].scalars["loss_scale"])
    assert len(skipped) == halvings >= 4
    assert len(run.keep.snapshots) == 40
    assert max(norm for step, norm in enumerate(run.norms) if step not in skipped) < 10
    assert run.summary.verdict == "healthy"
    assert not [i for i in run.summary.incidents if i.severity > Severity.INFO]


class Overflows(Module):
    """Its loss is beyond what float16 can hold from the tenth batch on."""

    def training_step(self, batch, batch_idx):
        out = self.net(batch[0])
        if batch_idx >= 10:
            out = (out.half() * 60000) * 60000
        return F.cross_entropy(out, batch[1])


@pytest.mark.parametrize("fused", [False, True])
def test_a_scale_that_collapses_is_told_as_such(fused):
    run = Watched(lambda: Overflows(adamw(fused=fused)), data(40), plugins=scaled())
    assert run.summary.root.code in ("TV205", "TV203")
    assert "TV205" in [i.code for i in run.summary.incidents]
    assert run.summary.verdict == "ill"


@pytest.mark.parametrize("algorithm", ["norm", "value"])
@pytest.mark.parametrize("plugins", [None, scaled()], ids=["float32", "scaled"])
def test_an_epoch_may_end_with_a_shorter_window_of_accumulation(algorithm, plugins):
    losses = []

    class Noting(Module):
        def training_step(self, batch, batch_idx):
            loss = self.loss(batch)
            losses.append(loss.item())
            return loss

    run = Watched(
        Noting,
        data(8),
        plugins=plugins,
        max_epochs=2,
        accumulate_grad_batches=3,
        gradient_clip_val=0.01,
        gradient_clip_algorithm=algorithm,
    )
    assert [s.step for s in run.keep.snapshots] == [0, 1, 2, 3, 4, 5]
    assert run.norms == pytest.approx(run.module.norms, rel=1e-5)
    mine = losses[len(losses) // 2 :]
    windows = [mine[0:3], mine[3:6], mine[6:8], mine[8:11], mine[11:14], mine[14:16]]
    expected = [sum(window) / len(window) for window in windows]
    assert [s.loss for s in run.keep.snapshots] == pytest.approx(expected, rel=1e-3)
    assert run.summary.verdict == "healthy"


def test_the_norm_that_tests_compare_with_is_that_of_all_held_gradients():
    p, q = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))
    p.grad, q.grad = torch.tensor([3.0]), torch.tensor([4.0])
    assert norm_of(torch.optim.SGD([p, q], lr=1.0)) == 5.0
