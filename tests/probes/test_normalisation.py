"""Batch norms beside their batches: numbers, what is left out, and that looking leaves no trace."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.probes.watching import row, sgd, watched
from torchvitals.probes import normalisation


def net(**options):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3, **options), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)
    )


def images(seed=1):
    return torch.randn(5, 1, 4, 4, generator=torch.Generator().manual_seed(seed))


def tables(model, *parts, steps=2, before=lambda _model: None):
    """The `normalisation` tables of steps over these micro-batches."""
    optimizer = sgd(model)
    with watched(model, optimizer, "normalisation") as vitals:
        for _ in range(steps):
            before(model)
            for i, x in enumerate(parts):
                loss = model(x).square().mean()
                loss.backward()
                if i == len(parts) - 1:
                    optimizer.step()
                    optimizer.zero_grad()
                vitals.step(loss.detach())
    return [s.tables.get("normalisation") for s in vitals.snapshots]


def test_numbers_are_those_of_the_float64_twin():
    model, x = net(), images()
    z = model[0](x).detach().double().numpy()
    found = row(tables(model, x, steps=1)[0], "1")
    channels = [z[:, c].ravel() for c in range(3)]
    mean = np.array([c.sum() / len(c) for c in channels])
    variance = np.array([((c - c.mean()) ** 2).sum() / (len(c) - 1) for c in channels])
    kept, spread = 0.1 * mean, 0.9 + 0.1 * variance
    expected = {
        "samples": 20,
        "count": 3,
        "training": 1,
        "moved": 0,
        "momentum": 0.1,
        "shift_sq": sum((kept - mean) ** 2 / (variance + 1e-5)),
        "stretch_sq": sum(np.log((spread + 1e-5) / (variance + 1e-5)) ** 2),
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected, rel=1e-5)


def test_statistics_that_have_changed_since_the_first_look_have_moved():
    assert [row(t, "1")["moved"] for t in tables(net(), images(), steps=3)] == [0, 1, 1]
    assert [row(t, "1")["moved"] for t in tables(net(momentum=0.0), images(), steps=3)] == [0, 0, 0]


def test_micro_batches_add_up_and_the_smallest_counts():
    found = row(tables(net(), images(), images(2)[:2], steps=1)[0], "1")
    assert (found["count"], found["samples"]) == (6, 8)


def test_a_norm_in_eval_mode_is_told_as_one():
    assert row(tables(net(), images(), before=lambda m: m[1].eval())[0], "1")["training"] == 0


@pytest.mark.parametrize(
    "norm",
    [nn.BatchNorm2d(3, track_running_stats=False), nn.GroupNorm(1, 3), nn.SyncBatchNorm(3).eval()],
    ids=["no running statistics", "no batch norm", "statistics of other processes"],
)
def test_what_has_no_statistics_of_this_batch_is_left_out(norm):
    model = net()
    model[1] = norm
    assert tables(model, images()) == [None, None]


class ChannelsLast(nn.BatchNorm1d):
    """Normalises the last dimension of (batch, positions, channels)."""

    def forward(self, input):  # noqa: A002 - torch's name
        return super().forward(input.transpose(1, 2)).transpose(1, 2)


@pytest.mark.parametrize("positions", [6, 3], ids=["other channels", "as many positions as channels"])
def test_a_norm_with_a_forward_pass_of_its_own_is_left_out_and_the_others_are_not(positions):
    torch.manual_seed(0)
    norms = ChannelsLast(3), nn.BatchNorm1d(positions)
    found, _ = tables(nn.Sequential(nn.Linear(2, 3), *norms), torch.randn(5, positions, 2))
    assert found.names == ("2",)


def test_a_norm_that_was_given_other_channels_than_it_keeps_is_left_out():
    norm = nn.BatchNorm1d(3)
    norm.__dict__["forward"] = lambda x: nn.BatchNorm1d.forward(norm, x.transpose(1, 2))
    found = tables(nn.Sequential(nn.Linear(2, 3), norm), torch.randn(5, 6, 2))
    assert found == [None, None]


def test_a_norm_that_cannot_be_read_costs_its_own_row(monkeypatch):
    distance = normalisation._distance

    def picky(x, running, eps):
        if x.shape[1] == 3:
            raise RuntimeError("unreadable")
        return distance(x, running, eps)

    monkeypatch.setattr(normalisation, "_distance", picky)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    optimizer = sgd(model)
    with watched(model, optimizer, "normalisation") as vitals:
        for _ in range(2):
            loss = model(images()).square().mean()
            loss.backward()
            optimizer.step()
            vitals.step(loss.detach())
    assert [s.tables["normalisation"].names for s in vitals.snapshots] == [("3",)] * 2
    told = "Statistics of the batches of 1: reading them raised RuntimeError."
    assert told in vitals.summary.coverage.blind


def test_a_batch_that_is_not_finite_counts_for_nothing():
    x = images()
    x[0] = torch.inf
    found = row(tables(net(), x, steps=1)[0], "1")
    assert (found["count"], found["shift_sq"], found["stretch_sq"]) == (0, 0, 0)


def test_training_is_bit_for_bit_what_it_is_without_a_look():
    def trained(watch):
        model = net()
        if watch:
            tables(model, images(), steps=4)
        else:
            optimizer = sgd(model)
            for _ in range(4):
                model(images()).square().mean().backward()
                optimizer.step()
                optimizer.zero_grad()
        return model.state_dict()

    bare, ours = trained(False), trained(True)
    assert all(torch.equal(bare[key], ours[key]) for key in bare)
