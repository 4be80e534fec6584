"""What hangs together: optimizer, parameters, modules and the loss."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from tests.probes.watching import mlp, row, sgd, watched


def wiring(model, optimizer=None, *, x=None, loss_fn=None, told=lambda loss: loss, steps=1, **options):
    """The `wiring` tables of a few steps."""
    optimizer = sgd(model) if optimizer is None else optimizer
    with watched(model, optimizer, "wiring", **options) as vitals:
        for _ in range(steps):
            out = model(torch.randn(6, 4) if x is None else x)
            loss = loss_fn(out) if loss_fn else out.square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            vitals.step(told(loss))
    return [s.tables.get("wiring") for s in vitals.snapshots], vitals


class Branches(nn.Module):
    """Used; used and cut off; run without gradients; never run; frozen."""

    def __init__(self):
        super().__init__()
        self.used, self.cut, self.unseen = nn.Linear(4, 3), nn.Linear(4, 3), nn.Linear(4, 3)
        self.idle, self.frozen = nn.Linear(4, 3), nn.Linear(4, 3).requires_grad_(False)

    def forward(self, x):
        with torch.no_grad():
            y = self.unseen(x)
        return self.used(x) + self.cut(x).detach() + self.frozen(x) + y


@pytest.mark.parametrize(
    "told", [lambda loss: loss, torch.Tensor.item], ids=["with-its-graph", "as-a-number"]
)
def test_reached_executed_and_held_are_told_apart(told):
    model = Branches()
    optimizer = torch.optim.SGD([*model.used.parameters(), *model.cut.parameters()], lr=0.1)
    (table,), _ = wiring(model, optimizer, told=told)
    found = {
        name: (r["held"], r["registered"], r["executed"], r["reached"])
        for name in table.names
        if name.endswith("weight") and (r := row(table, name))
    }
    assert found == {
        "used.weight": (1, 1, 1, 1),
        "cut.weight": (1, 1, 1, 0),
        "unseen.weight": (0, 1, 0, 0),
        "idle.weight": (0, 1, 0, 0),
    }
    assert row(table, "used.weight")["count"] == 12


def test_only_the_first_two_looks_are_measured():
    tables, _ = wiring(mlp(), steps=4)
    assert [table is not None for table in tables] == [True, True, False, False]


class Hidden(nn.Module):
    """A layer in a plain list, and a tensor that is no parameter."""

    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(4, 5)]
        self.scale = torch.ones(5, requires_grad=True)
        self.head = nn.Linear(5, 3)
        self.register_buffer("shift", torch.zeros(4, requires_grad=True))

    def forward(self, x):
        return self.head(self.layers[0](x + self.shift) * self.scale)


def test_what_the_model_uses_without_registering_it_has_rows_of_its_own():
    (table,), _ = wiring(Hidden())
    strange = [row(table, name) for name in table.names if name.startswith("unregistered")]
    assert sorted(r["count"] for r in strange) == [5, 5, 20]
    assert all((r["held"], r["registered"], r["reached"]) == (0, 0, 1) for r in strange)


def test_what_an_optimizer_holds_is_not_strange():
    model = Hidden()
    hidden = [*model.layers[0].parameters(), model.scale]
    (table,), _ = wiring(model, torch.optim.SGD([*model.parameters(), *hidden], lr=0.1))
    assert table.names == ("head.weight", "head.bias")


def test_inputs_and_what_they_were_made_of_are_not_strange():
    disturbance = torch.zeros(6, 4, requires_grad=True)
    (table,), _ = wiring(mlp(), x=torch.randn(6, 4) + disturbance)
    assert not any(name.startswith("unregistered") for name in table.names)
    (table,), _ = wiring(mlp(), x=torch.randn(6, 4, requires_grad=True))
    assert not any(name.startswith("unregistered") for name in table.names)


def test_a_critic_behind_the_model_is_not_strange():
    critic = nn.Linear(3, 1)
    (table,), _ = wiring(mlp(), loss_fn=lambda out: critic(out).mean())
    assert table.names == ("0.weight", "0.bias", "2.weight", "2.bias")
    assert table["reached"].all()


def test_copies_with_the_shape_of_a_parameter_are_not_strange():
    class Fast(nn.Module):
        def __init__(self):
            super().__init__()
            self.slow = nn.Linear(4, 3)

        def forward(self, x):
            w = self.slow.weight.detach().clone().requires_grad_()
            return F.linear(x, w) + self.slow(x)

    (table,), _ = wiring(Fast())
    assert table.names == ("slow.weight", "slow.bias")


def test_parameters_that_their_owner_uses_itself_are_executed():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))
            self.extra = nn.ParameterList([nn.Parameter(torch.ones(3))])
            self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))

        def forward(self, x):
            return (self.normed(x) * self.scale * self.extra[0]).detach() + self.normed.bias

    (table,), _ = wiring(Own())
    assert dict(zip(table.names, table["executed"], strict=True)) == {
        "scale": 1,
        "extra.0": 1,
        "normed.bias": 1,
        "normed.parametrizations.weight.original0": 1,
        "normed.parametrizations.weight.original1": 1,
    }
    assert dict(zip(table.names, table["reached"], strict=True))["normed.bias"] == 1
    assert table["reached"].sum() == 1


def test_micro_batches_of_several_heads_are_taken_together():
    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.heads = nn.ModuleList(nn.Linear(4, 1) for _ in range(2))

        def forward(self, x, head):
            return self.heads[head](x)

    model = Heads()
    optimizer = sgd(model)
    with watched(model, optimizer, "wiring") as vitals:
        for head in range(2):
            loss = model(torch.randn(6, 4), head).mean()
            loss.backward()
            if head:
                optimizer.step()
            vitals.step(loss)
    table = vitals.snapshots[0]["wiring"]
    assert table["reached"].tolist() == table["executed"].tolist() == [1, 1, 1, 1]


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_reentrant_checkpointing_gives_no_table_and_that_is_said():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

        def forward(self, x):
            return self.head(checkpoint(self.body, x, use_reentrant=True))

    (table,), vitals = wiring(Net(), x=torch.randn(6, 4, requires_grad=True))
    assert table is None
    assert "checkpointing" in str(vitals.coverage)


def test_inside_of_compiled_code_only_what_was_reached_is_told():
    torch.compiler.reset()
    model = torch.compile(Branches(), backend="aot_eager")
    (table,), _ = wiring(model)
    assert table.names == ("_orig_mod.used.weight", "_orig_mod.used.bias")
    assert table["reached"].all()


def test_walking_the_graph_of_a_long_sequence_is_bounded(monkeypatch):
    monkeypatch.setattr("torchvitals.probes.graph.MAX_NODES", 8)
    (table,), vitals = wiring(mlp())
    assert table is None
    assert "more than 8 nodes" in str(vitals.coverage)
