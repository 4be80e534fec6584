"""The adapter for plain loops where a GradScaler multiplies the loss."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import torchvitals
from tests.support.lightning import norm_of
from torchvitals import Schedule
from torchvitals.reporters import MemoryReporter


def train(*, fused: bool, told: bool, unscaled: bool, ready: bool, init_scale: float = 1024.0):
    """Thirty steps; gives the snapshots and the norms of the gradients without the scale."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=init_scale, growth_interval=500)
    keep, norms = MemoryReporter(), []
    given = {"reporters": [keep], "schedule": Schedule(dense=4, every=8), "strict": True}
    with torchvitals.watch(model, optimizer, scaler=scaler if told else None, **given) as vitals:
        for _ in range(30):
            x = torch.randn(16, 8)
            with torch.autocast("cpu", torch.float16):
                loss = F.cross_entropy(model(x), x[:, :4].argmax(1))
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scale = scaler.get_scale()
            if unscaled:
                scaler.unscale_(optimizer)
                scale = 1.0
            norms.append(norm_of(optimizer) / scale)
            if ready:
                vitals.gradients_ready()
            scaler.step(optimizer)
            scaler.update()
            vitals.step(loss)
    assert vitals.verdict == "healthy"
    return keep.snapshots, norms


@pytest.mark.parametrize("ready", [False, True], ids=["in the optimizer", "before it"])
@pytest.mark.parametrize("unscaled", [False, True], ids=["scaled", "unscaled"])
@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
def test_gradients_are_told_without_the_scale_however_they_come(fused, unscaled, ready):
    snapshots, norms = train(fused=fused, told=True, unscaled=unscaled, ready=ready)
    assert [s.scalars["gradient_norm"] for s in snapshots] == pytest.approx(norms, rel=1e-4)
    assert max(norms) < 10


def test_a_fused_optimizer_tells_the_scale_even_if_nobody_told_of_the_scaler():
    snapshots, norms = train(fused=True, told=False, unscaled=False, ready=False)
    assert [s.scalars["gradient_norm"] for s in snapshots] == pytest.approx(norms, rel=1e-4)


@pytest.mark.parametrize("told", [False, True])
def test_a_step_that_a_fused_optimizer_skips_is_known_as_such(told):
    snapshots, _ = train(fused=True, told=told, unscaled=False, ready=False, init_scale=2.0**24)
    skipped = [s.step for s in snapshots if s.labels.get("skipped") == "scaler"]
    assert skipped
    assert [s.step for s in snapshots if s.nonfinite] == skipped
