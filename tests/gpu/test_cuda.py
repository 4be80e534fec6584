"""The library on CUDA: numbers as on the CPU, nothing that waits, weights as without us.

Skipped where there is no GPU. On the day they were written these tests had not run yet.
"""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import torchvitals
from tests.probes import sharded
from tests.support.gloo import on_ranks
from torchvitals import Schedule, Snapshot
from torchvitals.reporters import MemoryReporter

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

KINDS = ("gradient", "parameter", "update", "input", "output", "activation", "activation_gradient", "loss")
ROUGHLY = ("nonfinite", "first_bad")
"""Told exactly on the CPU alone, where something is not finite."""


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 4))


def batches(device: str, count: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    draw = torch.Generator().manual_seed(1)
    for _ in range(count):
        x = torch.randn(64, 16, generator=draw)
        yield x.to(device), x[:, 0].gt(0).long().to(device)


def trained(
    device: str, *, steps: int = 4, watched: bool = True, scaled: bool = False
) -> tuple[list[torch.Tensor], list[Snapshot]]:
    """Weights on the CPU, and snapshots of every step; `scaled` trains in float16 with a GradScaler."""
    model = net().to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    # It begins so high that the first steps overflow and are skipped.
    scaler = torch.amp.GradScaler(device, init_scale=2.0**24, enabled=scaled)
    keep, vitals = MemoryReporter(), None
    if watched:
        every, told = Schedule(dense=0, every=1), scaler if scaled else None
        vitals = torchvitals.watch(
            model, optimizer, reporters=[keep], schedule=every, strict=True, scaler=told
        )
    for x, y in batches(device, steps):
        with torch.autocast(device, torch.float16, enabled=scaled):
            loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        if vitals is not None:
            vitals.step(loss)
    if vitals is not None:
        vitals.close()
    return [p.detach().cpu() for p in model.parameters()], keep.snapshots


def test_numbers_are_those_of_the_cpu():
    _, told = trained("cuda")
    _, twins = trained("cpu")
    assert len(told) == len(twins)
    for snapshot, twin in zip(told, twins, strict=True):
        for kind in KINDS:
            assert snapshot[kind].names == twin[kind].names
            for name, column in twin[kind].columns.items():
                if column.dtype.kind != "U" and name not in ROUGHLY:
                    mine = snapshot[kind][name]
                    np.testing.assert_allclose(mine, column, rtol=1e-3, atol=1e-5, err_msg=f"{kind} {name}")


@pytest.mark.parametrize("scaled", [False, True])
def test_weights_are_those_of_a_training_without_us(scaled: bool):
    weights, snapshots = trained("cuda", steps=24, scaled=scaled)
    bare, _ = trained("cuda", steps=24, scaled=scaled, watched=False)
    assert all(torch.equal(a, b) for a, b in zip(weights, bare, strict=True))
    assert scaled == any(s.labels.get("skipped") == "scaler" for s in snapshots)


@pytest.mark.parametrize("every", [1, 1000])
def test_no_step_waits_for_the_device(every: int):
    model = net().cuda()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    data = list(batches("cuda", 6))
    names = ["non-finite", "exploding-gradient", "vanishing-gradient", "dead-units", "update-too-large"]
    schedule = Schedule(dense=0, every=every)
    with torchvitals.watch(
        model, optimizer, diagnostics=names, reporters=[], schedule=schedule, strict=True
    ) as vitals:
        for step, (x, y) in enumerate(data):
            # The first step may set things up.
            torch.cuda.set_sync_debug_mode("error" if step else "default")
            try:
                loss = F.cross_entropy(model(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                vitals.step(loss)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        torch.cuda.synchronize()


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_what_two_gpus_tell_is_what_one_would_have_told():
    (told, norms), _ = on_ranks(_on_two, backend="nccl", start="spawn")
    _, alone, *_ = sharded.trained(0, sharded.whole, ranks=1)
    assert "merged" in told
    for label, norm, twin in zip(told, norms, alone, strict=True):
        assert label != "merged" or norm == pytest.approx(twin.scalars["gradient_norm"], rel=1e-3)


def _on_two(rank: int) -> tuple[list[str], list[float | None]]:
    torch.cuda.set_device(rank)
    _, snapshots, *_ = sharded.trained(rank, sharded.fsdp, device="cuda")
    return [s.labels["sharded"] for s in snapshots], [s.scalars.get("gradient_norm") for s in snapshots]
