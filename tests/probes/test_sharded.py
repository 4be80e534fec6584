"""Sharded parameters on real processes: what is told is what one process would tell, and nothing hangs."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard
from torch.distributed.tensor.parallel import ColwiseParallel, SequenceParallel, parallelize_module

import torchvitals
from tests.probes import sharded
from tests.support.gloo import on_ranks
from torchvitals import Schedule, Snapshot
from torchvitals.core.errors import TrainingStopped
from torchvitals.probes.shards import is_partial
from torchvitals.reporters import MemoryReporter

PARAMETERS = ("gradient", "parameter", "update")
BATCH = ("input", "output", "activation", "activation_gradient", "saturation", "silence", "loss")
BY_PART = ("spread", "freedom")
"""What is of each micro-batch, and so of each rank's."""


def both(rank: int, how: str, parts: bool, size: int) -> Any:
    """The same training with and without us, one after the other."""
    build = getattr(sharded, how)
    bare, *_ = sharded.trained(rank, build, ranks=size, parts=parts, watched=False)
    weights, snapshots, blind, report = sharded.trained(rank, build, ranks=size, parts=parts)
    same = all(torch.equal(a, b) for a, b in zip(weights, bare, strict=True))
    return same, snapshots, blind, report


def check(told: Snapshot, alone: Snapshot, kinds: tuple[str, ...]) -> None:
    for kind in kinds:
        assert (kind in told) == (kind in alone), kind
        if kind in alone:
            names = tuple(name.removeprefix("module.") for name in told[kind].names)
            assert names == alone[kind].names or kind in ("input", "output"), kind
            assert told[kind].columns.keys() == alone[kind].columns.keys(), kind
            for name, column in alone[kind].columns.items():
                mine = told[kind][name]
                if column.dtype.kind == "U":
                    assert mine.tolist() == column.tolist()
                elif name not in BY_PART:
                    np.testing.assert_allclose(mine, column, rtol=1e-4, atol=1e-9, err_msg=f"{kind} {name}")
            for name, rows in alone[kind].units.items():
                if kind == "loss" or name == "fired":
                    assert all(map(np.array_equal, told[kind].units[name], rows)), f"{kind} {name}"


@pytest.mark.parametrize(
    ("how", "parts", "kinds"),
    [
        ("fsdp", True, PARAMETERS + BATCH),
        ("hsdp", True, PARAMETERS + BATCH),
        ("tensor_parallel", False, (*PARAMETERS, "input", "output", "loss")),
    ],
)
def test_what_is_told_of_two_ranks_is_what_one_process_would_have_told(how, parts, kinds):
    (same, told, blind, report), (same_there, theirs, _, _) = on_ranks(both, how, parts, 2)
    _, alone, _, _ = sharded.trained(0, sharded.whole, ranks=1, parts=False)
    assert (same, same_there) == (True, True), "weights are those of a training without us"
    whole = [s for s in told if s.labels["sharded"] == "merged"]
    assert len(whole) >= len(told) - 1  # the last look may be closed before the other rank has told it
    for snapshot in whole:
        twin = alone[snapshot.step]
        check(snapshot, twin, kinds)
        assert snapshot.loss == pytest.approx(twin.loss, rel=1e-5)
        assert snapshot.scalars["gradient_norm"] == pytest.approx(twin.scalars["gradient_norm"], rel=1e-5)
    assert not any("0.weight" in s[kind].names for s in theirs for kind in PARAMETERS if kind in s)
    assert "healthy" in report
    assert "FSDP" not in report
    assert any("Equal units of sharded" in sentence for sentence in blind)


@pytest.mark.slow
def test_on_a_mesh_of_two_dimensions_every_part_is_counted_once():
    (same, told, blind, _), *_ = on_ranks(both, "two_dimensions", True, 4, size=4)
    _, alone, _, _ = sharded.trained(0, sharded.whole, ranks=1, parts=False)
    assert same
    whole = [s for s in told if s.labels["sharded"] == "merged"]
    assert whole
    for snapshot in whole:
        check(snapshot, alone[snapshot.step], (*PARAMETERS, "input", "output", "loss"))
    assert any("first rank's part alone" in sentence for sentence in blind)


def test_a_gradient_that_is_still_to_be_summed_is_absent_and_not_wrong():
    (told, blind, partial), _ = on_ranks(_in_sequence)
    assert partial, "torch leaves the gradients of such norms as summands; else this tests nothing"
    whole = [s for s in told if s.labels["sharded"] != "not merged"]
    assert whole
    for snapshot in whole:
        assert snapshot.labels["sharded"] == "merged in part"
        assert set(snapshot["gradient"].names) == {"1.weight", "1.bias"}
        assert set(snapshot["update"].names) == {"1.weight", "1.bias"}
        assert "gradient_norm" not in snapshot.scalars
    assert any("0.bias (+1 more)" in sentence for sentence in blind)


def _in_sequence(rank):
    torch.manual_seed(0)
    model = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 6))
    mesh = init_device_mesh("cpu", (2,), mesh_dim_names=("tp",))
    parallelize_module(model, mesh, {"0": SequenceParallel(), "1": ColwiseParallel(input_layouts=Shard(1))})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    keep, partial = MemoryReporter(), False
    with torchvitals.watch(model, optimizer, reporters=[keep], strict=True) as vitals:
        for _ in range(3):
            loss = model(torch.randn(4, 3, 8)).square().mean()
            loss.backward()
            partial = all(p.grad is not None and is_partial(p.grad) for p in model[0].parameters())
            optimizer.step()
            optimizer.zero_grad()
            vitals.step(loss)
    return keep.snapshots, vitals.coverage.blind, partial


UNEVEN = {
    "watched on the first rank alone": lambda rank: {"watched": rank == 0},
    "watched on all but the first": lambda rank: {"watched": rank > 0},
    "other schedules": lambda rank: {"schedule": Schedule(dense=2 * rank, every=1 + 3 * rank)},
    "fewer diagnostics on one": lambda rank: {"diagnostics": ["bad-input"] if rank else None},
}


@pytest.mark.parametrize("how", UNEVEN)
def test_ranks_that_are_watched_unevenly_train_as_they_would_without_us(how):
    for same, snapshots, report in on_ranks(_uneven, how):
        assert same
        for snapshot in snapshots:
            if snapshot.labels["sharded"] != "merged":
                assert not any(kind in snapshot for kind in PARAMETERS)
                assert "gradient_norm" not in snapshot.scalars
            for kind in PARAMETERS:
                # What a rank did not measure is not told of the others' parts alone.
                if kind in snapshot:
                    counts = dict(zip(snapshot[kind].names, snapshot[kind]["count"], strict=True))
                    assert counts.get("0.weight", 30) == 30
        if how == "watched on the first rank alone":
            assert {s.labels["sharded"] for s in snapshots} <= {"not merged"}
            assert not snapshots or "others told nothing" in " ".join(report.split())


def _uneven(rank, how):
    bare, *_ = sharded.trained(rank, sharded.fsdp, steps=6, watched=False)
    weights, snapshots, _, report = sharded.trained(rank, sharded.fsdp, steps=6, **UNEVEN[how](rank))
    return all(torch.equal(a, b) for a, b in zip(weights, bare, strict=True)), snapshots, report


def test_when_a_rank_dies_the_training_fails_as_it_would_without_us():
    raised, _ = on_ranks(_bereft)
    assert raised == "RuntimeError"


def _bereft(rank):
    try:
        sharded.trained(rank, sharded.fsdp, steps=6, dies=3 if rank else None)
    except (RuntimeError, SystemExit) as error:
        return type(error).__name__
    return ""


@pytest.mark.parametrize("how", ["fsdp", "whole"])
def test_the_rank_that_was_given_a_nan_is_named_with_its_origin(how):
    (told, _), _ = on_ranks(_spoilt, how)
    (incident,) = [i for i in told if i.code == "TV203"]
    assert incident.onset == 2
    assert incident.evidence["ranks"] == "rank 1"
    assert incident.evidence["origin"] == "input"
    assert "on rank 1 alone" in incident.message


def _spoilt(rank, how):
    model = getattr(sharded, how)(rank)
    wrapped = nn.parallel.DistributedDataParallel(model) if how == "whole" else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with torchvitals.watch(wrapped, optimizer, reporters=[], strict=True) as vitals:
        for step in range(5):
            x, y = sharded.batch(step)
            if (rank, step) == (1, 2):
                x[3] = torch.nan
            loss = F.mse_loss(wrapped(x), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            vitals.step(loss)
            dist.barrier()
    return vitals.incidents, vitals.coverage.blind


def test_between_looks_another_rank_may_be_to_blame_and_is_named_at_the_next():
    told, _ = on_ranks(_spoilt_between_looks)
    found = {incident.code: incident for incident in told}
    assert found["TV203"].onset == 3
    assert found["TV203"].evidence["origin"] == "backward or another rank"
    assert found["TV602"].where == ("rank 1",)
    assert "TV203" in found["TV602"].explains


def _spoilt_between_looks(rank):
    model = sharded.net()
    wrapped = nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    schedule = Schedule(dense=2, every=8)
    with torchvitals.watch(wrapped, optimizer, reporters=[], schedule=schedule, strict=True) as vitals:
        for step in range(12):
            x, y = sharded.batch(step)
            x = x + (torch.nan if (rank, step) == (1, 3) else 0.0)
            loss = F.mse_loss(wrapped(x), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            vitals.step(loss)
    return vitals.incidents


@pytest.mark.parametrize("watched", [True, False])
def test_all_ranks_end_after_the_same_step_and_none_alone(watched):
    (steps, why, blind), (others, theirs, _) = on_ranks(_stopped, watched)
    assert any("`stop_on` did not end" in sentence for sentence in blind) != watched
    assert steps == others
    assert (steps < 40) == watched
    assert why == theirs or not watched
    assert ("TV" in why) == watched


def _stopped(rank, watched):
    model = sharded.net()
    wrapped = nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    vitals, step, why = None, 0, ""
    if watched or rank == 0:
        vitals = torchvitals.watch(wrapped, optimizer, reporters=[], stop_on="critical", strict=True)
    try:
        for step in range(1, 41):
            x, y = sharded.batch(step)
            x = x + (torch.nan if (rank, step) == (1, 5) else 0.0)
            F.mse_loss(wrapped(x), y).backward()
            optimizer.step()
            optimizer.zero_grad()
            if vitals is not None:
                vitals.step()
    except TrainingStopped as stopped:
        why = str(stopped)
    if vitals is not None:
        vitals.close()
    return step, why, vitals.coverage.blind if vitals is not None else ()


def test_what_a_forward_pass_gave_under_ddp_is_that_of_the_whole_batch():
    (told, blind), (theirs, _) = on_ranks(_replicated)
    _, alone, _, _ = sharded.trained(0, sharded.whole, ranks=1, parts=False)
    whole = [s for s in told if "rank_forward" in s]
    assert len(whole) >= len(told) - 1
    for snapshot in whole:
        check(snapshot, alone[snapshot.step], PARAMETERS + BATCH)
        assert snapshot.loss == pytest.approx(alone[snapshot.step].loss, rel=1e-5)
    assert not any("rank_forward" in s for s in theirs)
    assert not any("merged" in sentence for sentence in blind)


def _replicated(rank):
    model = sharded.net()
    wrapped = nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    keep = MemoryReporter()
    with torchvitals.watch(wrapped, optimizer, reporters=[keep], strict=True) as vitals:
        for step in range(4):
            x, y = (part[rank * 4 : rank * 4 + 4] for part in sharded.batch(step))
            loss = F.mse_loss(wrapped(x), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            vitals.step(loss)
    return keep.snapshots, vitals.coverage.blind
