"""Ranks side by side, on real processes: who is to blame, and that no rank ever waits for our sake."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import torchvitals
from tests.support.gloo import on_ranks
from torchvitals import Schedule, registry
from torchvitals.reporters import MemoryReporter

RANKS = ("replica-divergence", "rank-outlier")
EVERY_STEP = Schedule(dense=0, every=1)


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))


def trained(
    rank,
    *,
    steps=6,
    wrapped=None,
    batches=None,
    watched=True,
    bypassed=False,
    closes=None,
    blindfold=False,
    mute=False,
    **options,
):
    """Weights, incidents, snapshots and blind spots of one rank of a training on data of its own."""
    wrapped = wrapped or DistributedDataParallel(net())
    model = wrapped.module
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    draw = torch.Generator().manual_seed(100 + rank)
    told = MemoryReporter()
    vitals = None
    if watched:
        options = {"diagnostics": RANKS, "schedule": EVERY_STEP, "strict": True, **options}
        vitals = torchvitals.watch(wrapped, None if blindfold else optimizer, reporters=[told], **options)
    for step in range(steps):
        x = batches(step) if batches is not None else torch.randn(16, 4, generator=draw)
        loss = F.cross_entropy((model if bypassed else wrapped)(x), (x[:, 0] > 0).long()) * (not mute)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if vitals is not None and step != closes:
            vitals.step(loss)
        elif vitals is not None:
            vitals.close()
            vitals = None
    weights = [p.detach().clone() for p in model.parameters()]
    if vitals is None:
        return weights, [], [], ()
    vitals.close()
    found = [(i.code, i.severity.name, i.where, i.onset) for i in vitals.incidents]
    return weights, found, told.snapshots, vitals.coverage.blind


def test_gradients_are_those_of_each_rank_before_they_are_averaged():
    (weights, _, snapshots, _), (others, _, theirs, _) = on_ranks(_alone)
    rows = next(s["rank_gradient"] for s in snapshots if "rank_gradient" in s)
    assert rows.names == ("rank 0", "rank 1")
    for rank, norm in enumerate(rows.norm):
        model = net().double()
        x = torch.randn(16, 4, generator=torch.Generator().manual_seed(100 + rank)).double()
        F.cross_entropy(model(x), (x[:, 0] > 0).long()).backward()
        twin = sum(float(p.grad.square().sum()) for p in model.parameters() if p.grad is not None)
        assert norm == pytest.approx(math.sqrt(twin), rel=1e-5)
    assert rows["first_step"].min() == 2**53
    assert not any("rank" in s for s in theirs), "only the first rank reads"
    assert all(torch.equal(a, b) for a, b in zip(weights, others, strict=True))


def _alone(rank):
    return trained(rank)


def test_a_healthy_training_is_healthy_and_its_weights_are_those_without_us():
    for (weights, found, _, blind), (bare, *_) in zip(on_ranks(_alone), on_ranks(_unwatched), strict=True):
        assert found == []
        assert blind == ()
        assert all(torch.equal(a, b) for a, b in zip(weights, bare, strict=True))


def _unwatched(rank):
    return trained(rank, watched=False)


@pytest.mark.parametrize("every", [1, 4])
def test_the_rank_whose_batch_holds_a_nan_is_named(every):
    (_, found, _, _), _ = on_ranks(_spoilt, Schedule(dense=1, every=every))
    assert ("TV602", "CRITICAL", ("rank 1",), 2) in found


def _spoilt(rank, schedule):
    def batches(step):
        x = torch.randn(16, 4)
        x[3] += math.nan if (rank, step) == (1, 2) else 0.0
        return x

    return trained(rank, batches=batches, steps=12, schedule=schedule)


def test_replicas_that_go_apart_because_the_wrapper_is_bypassed_are_told():
    (_, found, _, _), _ = on_ranks(_bypassed)
    assert [(code, severity) for code, severity, *_ in found] == [("TV601", "CRITICAL")]


def _bypassed(rank):
    return trained(rank, bypassed=True)


def test_all_diagnostics_together_find_nothing_in_a_healthy_training():
    for _, found, _, _ in on_ranks(_whole):
        assert [f for f in found if f[1] != "INFO"] == []


def _whole(rank):
    return trained(rank, diagnostics=registry.resolve(None), steps=20)


UNEVEN = {
    "watched on the first rank alone": lambda rank: {"watched": rank == 0},
    "watched on all but the first": lambda rank: {"watched": rank > 0},
    "other schedules": lambda rank: {"schedule": Schedule(dense=4 * rank, every=1 + 7 * rank)},
    "closed early on one": lambda rank: {"closes": 3 if rank == 0 else None},
    "told of the optimizer on one alone": lambda rank: {"blindfold": rank == 1},
    "one rank's gradient is always 0": lambda rank: {"diagnostics": None, "mute": rank == 1},
}


@pytest.mark.parametrize("how", UNEVEN)
def test_ranks_that_are_watched_unevenly_train_as_they_would_without_us(how):
    watched, bare = on_ranks(_uneven, how), on_ranks(_unwatched)
    for (weights, *_), (twins, *_) in zip(watched, bare, strict=True):
        assert "0" in how or all(torch.equal(a, b) for a, b in zip(weights, twins, strict=True))


def _uneven(rank, how):
    return trained(rank, **UNEVEN[how](rank))


def test_where_the_others_tell_nothing_the_first_rank_says_so():
    (_, _, snapshots, blind), _ = on_ranks(_uneven, "watched on the first rank alone")
    assert not any("rank" in s for s in snapshots)
    (sentence,) = blind
    assert sentence.startswith("Ranks were not compared or merged: the others told nothing;")


def test_a_model_that_nobody_wrapped_is_not_compared():
    (_, _, _, blind), _ = on_ranks(_bare)
    assert blind == ("Ranks were not compared: the model is not wrapped in DistributedDataParallel.",)


def _bare(rank):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with torchvitals.watch(model, optimizer, diagnostics=RANKS, reporters=[], strict=True) as vitals:
        model(torch.randn(4, 4)).sum().backward()
        optimizer.step()
        vitals.step()
    return None, None, None, vitals.coverage.blind


def test_a_rank_that_skips_a_layer_is_no_illness_and_hangs_nothing():
    for weights, found, snapshots, _ in on_ranks(_forked):
        assert [f for f in found if f[1] != "INFO"] == []
        assert len(weights) == 4
        counts = [s["rank_gradient"]["count"] for s in snapshots if "rank_gradient" in s]
        assert all(first < second for first, second in counts)


class Forked(nn.Module):
    """The second layer is called on every rank but the first."""

    def __init__(self, rank):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.calls = nn.Linear(4, 2), nn.Linear(2, 2), rank > 0

    def forward(self, x):
        x = self.first(x)
        return self.second(x) if self.calls else x


def _forked(rank):
    wrapped = DistributedDataParallel(Forked(rank), find_unused_parameters=True)
    return trained(rank, wrapped=wrapped)


def test_when_a_rank_dies_the_training_fails_as_it_would_without_us():
    raised, _ = on_ranks(_bereft)
    assert raised


def _bereft(rank):
    def batches(step):
        if rank == 1 and step == 3:
            raise SystemExit
        return torch.randn(16, 4)

    try:
        trained(rank, batches=batches)
    except (RuntimeError, SystemExit) as error:
        return type(error).__name__
    return ""
