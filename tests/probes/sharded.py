"""Trainings whose parameters are spread over two processes, and the same training in one process."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

import torchvitals
from torchvitals import Schedule
from torchvitals.reporters import MemoryReporter

EVERY_STEP = Schedule(dense=0, every=1)
BATCH = 8


def net() -> nn.Module:
    """Widths that two do not divide, a bias of one entry, and a parameter behind an activation."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 7), nn.PReLU(), nn.Linear(7, 1))


def whole(rank: int) -> nn.Module:
    return net()


def fsdp(rank: int) -> nn.Module:
    model = net()
    for layer in model.children():
        if isinstance(layer, nn.Linear):
            fully_shard(layer)
    fully_shard(model)
    return model


def hsdp(rank: int) -> nn.Module:
    """Two replicas of one shard each."""
    model = net()
    fully_shard(model, mesh=init_device_mesh("cpu", (2, 1), mesh_dim_names=("replicate", "shard")))
    return model


def tensor_parallel(rank: int) -> nn.Module:
    mesh = init_device_mesh("cpu", (2,), mesh_dim_names=("tp",))
    plan = {"0": ColwiseParallel(use_local_output=False), "2": RowwiseParallel()}
    return parallelize_module(net(), mesh, plan)


def two_dimensions(rank: int) -> nn.Module:
    """Layers split over two ranks, and each part sharded over the two that have other batches for it; those
    that are not split are sharded alone.
    """
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    plan = {"0": ColwiseParallel(use_local_output=False), "2": RowwiseParallel()}
    model = parallelize_module(net(), mesh["tp"], plan)
    fully_shard(model, mesh=mesh["dp"])
    return model


def batch(step: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(step)
    x = torch.randn(BATCH, 6, generator=draw)
    return x, x[:, :1] * 3


def trained(
    rank: int,
    build: Callable[[int], nn.Module],
    *,
    ranks: int = 2,
    steps: int = 4,
    watched: bool = True,
    parts: bool = True,
    batches: Callable[[int], tuple[Tensor, Tensor]] = batch,
    dies: int | None = None,
    device: str = "cpu",
    **options: Any,
) -> tuple[list[Tensor], list[Any], tuple[str, ...], str]:
    """Local weights, snapshots, blind spots and verdict of one rank, which with `parts` trains on its part of
    each batch, and else on all of it.
    """
    model = build(rank).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    told, vitals = MemoryReporter(), None
    if watched:
        options = {"diagnostics": None, "schedule": EVERY_STEP, "strict": True, **options}
        vitals = torchvitals.watch(model, optimizer, reporters=[told], **options)
    for step in range(steps):
        x, y = (part.to(device) for part in batches(step))
        mine = slice(None)
        if parts:
            place, of = (rank // 2, 2) if ranks == 4 else (rank, ranks)  # of four, two have the same batch
            mine = slice(place * BATCH // of, (place + 1) * BATCH // of)
        loss = F.mse_loss(model(x[mine]), y[mine])
        loss.backward()
        if step == dies:
            raise SystemExit
        optimizer.step()
        optimizer.zero_grad()
        if vitals is not None:
            vitals.step(loss)
    weights = [here(p.detach()).clone() for p in model.parameters()]
    if vitals is None:
        return weights, [], (), "no data"
    vitals.close()
    return weights, told.snapshots, vitals.coverage.blind, vitals.report()


def here(p: Tensor) -> Tensor:
    return p.to_local() if isinstance(p, DTensor) else p
