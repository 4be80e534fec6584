"""Whether samples of a batch influence each other, and that asking leaves no trace."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from tests.probes.watching import mlp, sgd, watched


def mixing(model, *inputs, steps=2, **kwargs):
    """The `mixing` table of the first step, or None, and what could not be seen."""
    optimizer = sgd(model)
    with watched(model, optimizer, "mixing") as vitals:
        for _ in range(steps):
            out = model(*inputs, **kwargs)
            out = out[0] if isinstance(out, tuple) else out
            out.square().mean().backward()
            optimizer.step()
            vitals.step()
    assert not any("mixing" in s for s in vitals.snapshots[1:])
    return vitals.snapshots[0].tables.get("mixing"), str(vitals.coverage)


class Through(nn.Module):
    """A linear layer and a function of its output."""

    def __init__(self, function):
        super().__init__()
        self.linear, self.function = nn.Linear(4, 4), function

    def forward(self, x):
        return self.function(self.linear(x))


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda h: h.softmax(0), id="softmax-over-the-batch"),
        pytest.param(lambda h: h - h.mean(0), id="mean-over-the-batch"),
        pytest.param(lambda h: h.t().reshape(h.shape), id="reshaped-instead-of-transposed"),
        pytest.param(lambda h: h.cumsum(0).flip(0), id="running-sum"),
    ],
)
@pytest.mark.parametrize("rows", [2, 9])
def test_what_mixes_samples_is_seen(function, rows):
    torch.manual_seed(0)
    table, _ = mixing(Through(function), torch.randn(rows, 4))
    assert table.names == ("linear", "model")
    assert table["mixing"][0] < 1e-5
    assert table["mixing"][1] > 0.01


def test_the_number_is_that_of_its_float64_twin():
    torch.manual_seed(0)
    model, x = Through(lambda h: h.softmax(0)), torch.randn(6, 4)
    twin = Through(lambda h: h.softmax(0)).double()
    table, _ = mixing(model, x, steps=1)
    twin.load_state_dict(model.state_dict())  # as it is after the step, when the copy was made
    with torch.no_grad():
        out, changed = twin(x.double()), twin(x[3:4].double().expand(6, 4))
    expected = (out[3] - changed[3]).abs().max() / out.abs().max()
    assert table["mixing"][-1] == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize(
    ("model", "x"),
    [
        pytest.param(mlp(), torch.randn(8, 4), id="mlp"),
        pytest.param(
            nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout()),
            torch.randn(8, 4),
            id="norm",
        ),
        pytest.param(
            nn.Sequential(nn.Conv2d(1, 2, 3), nn.GroupNorm(1, 2)),
            torch.randn(6, 1, 5, 5),
            id="conv",
        ),
        pytest.param(nn.LSTM(4, 3, batch_first=True), torch.randn(6, 5, 4), id="recurrent"),
        pytest.param(
            nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), torch.randn(6, 5, 4), id="attention"
        ),
        pytest.param(nn.Sequential(nn.Embedding(9, 4), nn.Flatten()), torch.randint(9, (6, 5)), id="ids"),
        pytest.param(Through(lambda h: h + torch.randn_like(h)), torch.randn(8, 4), id="noise"),
    ],
)
def test_networks_that_treat_samples_alone_do_not_mix(model, x):
    table, _ = mixing(model, x)
    assert table["mixing"][0] < 1e-5


@pytest.mark.parametrize("backwards", [False, True])
def test_what_runs_along_the_batch_in_one_direction_is_seen(backwards):
    torch.manual_seed(0)
    turned = (lambda h: h.flip(0).cumsum(0).flip(0)) if backwards else (lambda h: h.cumsum(0))
    assert mixing(Through(turned), torch.randn(6, 4))[0]["mixing"][-1] > 0.01


class Sentences(nn.Module):
    """Tokens, of which the first dimension is time to an LSTM; with positions along dimension `placed`."""

    def __init__(self, placed=None, *, pooled=False, shape=(6, 5)):
        super().__init__()
        self.tokens, self.lstm = nn.Embedding(9, 4), nn.LSTM(4, 3)
        self.positions = None if placed is None else nn.Parameter(torch.randn(shape[placed], 4))
        self.placed, self.pooled = placed, pooled

    def forward(self, x):
        h = self.tokens(x)
        if self.positions is not None:
            h = h + (self.positions[:, None] if self.placed == 0 else self.positions)
        h = self.lstm(h)[0]
        return h[:, -1] if self.pooled else h


@pytest.mark.parametrize(
    ("options", "across"),
    [
        pytest.param({}, False, id="time-first"),
        pytest.param({"placed": 0}, False, id="time-first-with-positions"),
        pytest.param({"placed": 1}, True, id="positions-along-dimension-1"),
        pytest.param({"pooled": True}, True, id="one-output-a-row"),
    ],
)
def test_places_that_are_told_apart_show_that_they_are_no_samples(options, across):
    torch.manual_seed(0)
    table, _ = mixing(Sentences(**options), torch.randint(9, (6, 5)))
    assert table.names == ("tokens", "lstm", "model")
    assert table["mixing"].tolist() == [0.0, *table["mixing"][1:]]
    assert (table["mixing"][1:] > 0.01).all()
    assert table["batch"].tolist() == [6.0] * 3
    assert (table["across"][-1] > 0.01) == across
    assert across or 0 <= table["across"][-1] < 1e-5


@pytest.mark.parametrize(
    ("model", "x"),
    [
        pytest.param(mlp(), torch.randn(8, 4), id="features"),
        pytest.param(nn.Conv1d(4, 2, 3), torch.randn(8, 4, 9), id="channels"),
        pytest.param(nn.LSTM(4, 3, batch_first=True), torch.randn(6, 5, 4), id="batch-first"),
        pytest.param(nn.LSTM(4, 3), torch.randn(5, 5, 4), id="as-many-places-as-samples"),
    ],
)
def test_of_other_inputs_nobody_asks_about_places(model, x):
    table, _ = mixing(model, x)
    assert table["across"][-1] == -1


class Remembers(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.linear(x) * self.calls


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x, y):
        return self.linear(x).mean() + self.linear(y)


def kept(x):
    model = Through(nn.Identity())
    model.last = model(x)  # a tensor with a graph cannot be copied
    return model


@pytest.mark.parametrize(
    ("model", "inputs", "why"),
    [
        pytest.param(mlp(), (torch.randn(1, 4),), "only one sample", id="one-sample"),
        pytest.param(mlp(), (torch.randn(4),), "one dimension", id="one-dimension"),
        pytest.param(Pair(), (torch.randn(6, 4), torch.randn(3, 4)), "different sizes", id="two-batches"),
        pytest.param(nn.LSTM(4, 3, batch_first=True), (torch.randn(6, 4),), "single samples", id="one-row"),
        pytest.param(nn.Conv2d(3, 2, 3), (torch.randn(3, 8, 8),), "single samples", id="one-image"),
        pytest.param(
            nn.BatchNorm1d(4, track_running_stats=False),
            (torch.randn(8, 4),),
            "on purpose",
            id="batch",
        ),
        pytest.param(
            Through(lambda h: h @ h.t()), (torch.randn(8, 4),), "compare the samples", id="similarities"
        ),
        pytest.param(Through(lambda h: h.mean()), (torch.randn(8, 4),), "no batch", id="one-number"),
        pytest.param(kept(torch.randn(8, 4)), (torch.randn(8, 4),), "raised RuntimeError", id="not-copied"),
    ],
)
def test_where_it_cannot_be_told_nothing_is_and_that_is_said(model, inputs, why):
    table, coverage = mixing(model, *inputs)
    assert table is None
    assert why in coverage


def test_several_inputs_of_one_batch_are_replaced_together():
    class Sum(Pair):
        def forward(self, x, y):
            return self.linear(x) + self.linear(y)

    table, _ = mixing(Sum(), torch.randn(6, 4), y=torch.randn(6, 4))
    assert table["mixing"][-1] < 1e-5


def test_a_model_that_remembers_its_calls_is_not_accused():
    model = Remembers()
    table, _ = mixing(model, torch.randn(8, 4))
    assert (table["mixing"] == 0).all()
    assert model.calls == 2


def test_large_models_are_not_copied(monkeypatch):
    monkeypatch.setattr("torchvitals.probes.mixable.MAX_PARAMETERS", 10)
    table, coverage = mixing(mlp(), torch.randn(8, 4))
    assert table is None
    assert "more than 10 parameters" in coverage


def test_a_model_that_holds_its_data_is_not_copied():
    model = mlp()
    model.data = torch.utils.data.TensorDataset(torch.zeros(3))  # type: ignore[assignment]
    table, coverage = mixing(model, torch.randn(8, 4))
    assert table is None
    assert "holds the data" in coverage


def test_asking_leaves_random_numbers_buffers_and_the_users_hooks_alone():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)

        def forward(self, x):
            shift = random.random() + np.random.rand() + torch.rand(())  # noqa: NPY002
            return self.norm(self.linear(x)) + shift

    def states():
        return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()  # noqa: NPY002

    def train(ask):
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        model, calls = Noisy(), []
        model.register_forward_hook(lambda *_: calls.append(1))
        optimizer = sgd(model)
        x = torch.randn(8, 4)
        with watched(model, optimizer, "mixing" if ask else "gradient") as vitals:
            model(x).sum().backward()
            optimizer.step()
            vitals.step()
        assert ("mixing" in vitals.snapshots[0]) == ask
        assert len(calls) == 1
        assert model.norm.num_batches_tracked == 1
        return [t.tolist() for t in model.state_dict().values()], states()

    assert train(True) == train(False)
