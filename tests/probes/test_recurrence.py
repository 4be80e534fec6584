"""Gradients along time: numbers, what is left out, and that looking leaves no trace."""

from typing import Any

import pytest
import torch
from torch import nn

from tests.probes.watching import row, sgd, watched


class Reader(nn.Module):
    """Embeds tokens, reads them, and answers from the last state."""

    def __init__(self, rnn, *, embeds=True):
        super().__init__()
        self.tokens, self.rnn, self.embeds = nn.Embedding(5, 4), rnn, embeds
        self.head = nn.Linear(3 * (1 + rnn.bidirectional), 1)

    def forward(self, tokens):
        x = self.tokens(tokens) if self.embeds else nn.functional.one_hot(tokens, 5)[..., :4].float()
        return self.head(self.rnn(x)[0][:, -1])


def trained(model, *, length=24, steps=1, watch=True):
    """The `memory` tables of a training."""
    optimizer = sgd(model)
    tokens = torch.randint(0, 5, (6, length), generator=torch.Generator().manual_seed(0))

    def loop(tell):
        for _ in range(steps):
            optimizer.zero_grad()
            loss = model(tokens).square().mean()
            loss.backward()
            optimizer.step()
            tell(loss.detach())

    if not watch:
        loop(lambda _: None)
        return []
    with watched(model, optimizer, "memory") as vitals:
        loop(vitals.step)
    return [s.tables.get("memory") for s in vitals.snapshots]


def reader(kind: Any = nn.GRU, *, embeds=True, **options):
    torch.manual_seed(0)
    return Reader(kind(4, 3, **{"batch_first": True, **options}), embeds=embeds)


def test_numbers_are_those_of_the_gradient_by_the_input():
    model = reader()
    x = model.tokens(torch.randint(0, 5, (6, 24), generator=torch.Generator().manual_seed(0)))
    x = x.detach().requires_grad_()
    model.head(model.rnn(x)[0][:, -1]).square().mean().backward()
    squares = x.grad.double().square()
    found = row(trained(reader())[0], "rnn")
    assert found["early_sq"] == pytest.approx(squares[:, :3].sum().item(), rel=1e-5)
    assert found["late_sq"] == pytest.approx(squares[:, -3:].sum().item(), rel=1e-5)
    assert (found["op"], found["steps"]) == ("GRU", 24)


def test_a_tanh_net_forgets_and_an_open_gru_does_not():
    closed = row(trained(reader(nn.RNN), length=60)[0], "rnn")
    model = reader()
    nn.init.constant_(model.rnn.get_parameter("bias_ih_l0")[3:6], 6.0)
    opened = row(trained(model, length=60)[0], "rnn")
    assert closed["early_sq"] < 1e-6 * closed["late_sq"]
    assert opened["early_sq"] > 1e-2 * opened["late_sq"]


@pytest.mark.parametrize(
    ("model", "length"),
    [
        pytest.param(reader, 12, id="short sequences"),
        pytest.param(lambda: reader(bidirectional=True), 24, id="both ways"),
        pytest.param(
            lambda: Reader(nn.GRU(4, 3, batch_first=True), embeds=False), 24, id="inputs as they are"
        ),
    ],
)
def test_where_it_cannot_be_told_nothing_is_measured(model, length):
    assert trained(model(), length=length) == [None]


def test_training_is_bit_for_bit_what_it_is_without_a_look():
    ours, bare = reader(nn.LSTM), reader(nn.LSTM)
    trained(ours, steps=4)
    trained(bare, steps=4, watch=False)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), bare.parameters(), strict=True))


class Recalling(nn.Module):
    """Reads a sequence that is a leaf."""

    def __init__(self, x):
        super().__init__()
        self.x, self.rnn = x, nn.GRU(4, 3, batch_first=True)

    def forward(self):
        return self.rnn(self.x)[0][:, -1]


@pytest.mark.parametrize("leaf", [nn.Parameter, torch.Tensor.requires_grad_], ids=["parameter", "tensor"])
@pytest.mark.parametrize("backward", [True, False], ids=["backward", "no backward"])
def test_no_hook_stays_on_a_leaf_that_is_read(leaf, backward):
    model = Recalling(leaf(torch.randn(2, 24, 4, generator=torch.Generator().manual_seed(0))))
    optimizer = sgd(model)
    with watched(model, optimizer, "memory") as vitals:
        for _ in range(3):
            optimizer.zero_grad()
            loss = model().square().mean()
            if backward:
                loss.backward()
            optimizer.step()
            vitals.step(loss.detach())
            assert not model.x._backward_hooks
        model()
    assert not model.x._backward_hooks
    assert [s.tables.get("memory") is not None for s in vitals.snapshots] == [backward] * 3
