"""What becomes of gradients between the backward pass and the step: no healthy loop is accused."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from tests.probes.watching import EVERY_STEP, mlp, row, sgd, watched
from torchvitals import Schedule


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))


def loss_of(model, rows=8):
    return (model(torch.randn(rows, 4)) - 1).square().mean()


class Loop:
    """A training loop: `step(i)` is one iteration, after which the watch is told."""

    def __init__(self):
        self.model = net()
        self.optimizer = sgd(self.model)
        self.optimizers = [self.optimizer]

    def step(self, i):
        raise NotImplementedError

    def run(self, steps=6, **options):
        with watched(self.model, self.optimizers, "witness", **options) as vitals:
            for i in range(steps):
                self.step(i)
                vitals.step()
        return vitals.snapshots


class ZeroBefore(Loop):
    def step(self, i):
        self.optimizer.zero_grad()
        loss_of(self.model).backward()
        self.optimizer.step()


class ZeroAfter(Loop):
    def step(self, i):
        loss_of(self.model).backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=False)


class Accumulate(Loop):
    def step(self, i):
        loss_of(self.model).backward()
        if i % 3 == 2:
            self.optimizer.step()
            self.optimizer.zero_grad()


class AccumulateInside(Loop):
    def step(self, i):
        for _ in range(3):
            loss_of(self.model).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


class Sharpness(Loop):
    """Two backward passes a step, the first only to find where the second is to be taken."""

    def step(self, i):
        loss_of(self.model).backward()
        self.optimizer.zero_grad()
        loss_of(self.model).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


class Closure(Loop):
    def __init__(self):
        super().__init__()
        self.optimizer = torch.optim.LBFGS(self.model.parameters(), lr=0.1, max_iter=3)
        self.optimizers = [self.optimizer]

    def step(self, i):
        def closure():
            self.optimizer.zero_grad()
            loss = loss_of(self.model)
            loss.backward()
            return loss

        self.optimizer.step(closure)


class Adversaries(Loop):
    """Each backward pass leaves gradients in the other's parameters too."""

    def __init__(self):
        super().__init__()
        self.model = nn.ModuleDict({"g": nn.Linear(4, 4), "d": nn.Linear(4, 1)})
        self.optimizers = [sgd(self.model["d"]), sgd(self.model["g"])]

    def step(self, i):
        d, g = self.optimizers
        d.zero_grad()
        self.loss().backward()
        d.step()
        g.zero_grad()
        (-self.loss()).backward()
        g.step()

    def loss(self):
        return self.model["d"](self.model["g"](torch.randn(8, 4))).square().mean()


class SlowGenerator(Adversaries):
    """The second optimizer steps in every third iteration on the sum of three gradients."""

    def step(self, i):
        d, g = self.optimizers
        self.loss().backward()
        d.step()
        d.zero_grad()
        if i % 3 == 2:
            g.step()
            g.zero_grad()


class Alternating(Loop):
    def __init__(self):
        super().__init__()
        self.model = nn.ModuleList(nn.Linear(4, 1) for _ in range(2))
        self.optimizers = [sgd(self.model)]

    def step(self, i):
        self.optimizers[0].zero_grad()
        loss_of(list(self.model)[i % 2]).backward()
        self.optimizers[0].step()


class Scaled(Loop):
    def __init__(self):
        super().__init__()
        self.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)

    def step(self, i):
        self.optimizer.zero_grad()
        self.scaler.scale(loss_of(self.model)).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()


class Checkpointed(Loop):
    def step(self, i):
        self.optimizer.zero_grad()
        x = torch.randn(8, 4, requires_grad=True)
        checkpoint(self.model, x, use_reentrant=True).mean().backward()
        self.optimizer.step()


HEALTHY = [
    *(ZeroBefore, ZeroAfter, Accumulate, AccumulateInside, Sharpness, Closure, Adversaries, SlowGenerator),
    *(Alternating, Scaled, Checkpointed),
]
GAPS, HALF = Schedule(dense=3, every=4), Schedule(dense=0, every=2)


@pytest.mark.parametrize("schedule", [EVERY_STEP, GAPS, HALF], ids=["all", "few", "half"])
@pytest.mark.parametrize("loop", HEALTHY, ids=lambda loop: loop.__name__)
def test_no_healthy_loop_is_accused(loop, schedule):
    snapshots = loop().run(24, schedule=schedule)
    tables = [s["witness"] for s in snapshots if "witness" in s]
    assert sum(table["unzeroed"].sum() for table in tables) == 0
    if loop is not Alternating and schedule is EVERY_STEP:
        assert tables  # something was said


class NeverZeroed(Loop):
    def step(self, i):
        loss_of(self.model).backward()
        self.optimizer.step()


class OneNeverZeroed(Adversaries):
    def step(self, i):
        d, g = self.optimizers
        self.loss().backward()
        d.step()
        d.zero_grad()
        g.step()


def test_a_gradient_that_nobody_empties_is_told_from_the_second_step_on():
    snapshots = NeverZeroed().run(5)
    assert ["witness" in s for s in snapshots] == [False, True, True, True, True]
    assert all(s["witness"]["unzeroed"].tolist() == [1] for s in snapshots[1:])


def test_after_a_gap_the_only_optimizer_is_known_again_at_once():
    snapshots = NeverZeroed().run(40, schedule=GAPS)
    due = [s for s in snapshots if s.due and s.step]
    assert len(due) > 8
    assert all(s["witness"]["unzeroed"].tolist() == [1] for s in due)


def test_each_optimizer_has_a_witness_of_its_own():
    table = OneNeverZeroed().run(4)[-1]["witness"]
    assert {name: row(table, name)["unzeroed"] for name in table.names} == {"d.bias": 0, "g.bias": 1}


class NeverStepped(Loop):
    def __init__(self):
        super().__init__()
        self.optimizers = [self.optimizer, torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)]

    def step(self, i):
        self.optimizer.zero_grad()
        loss_of(self.model).backward()
        self.optimizers[1].step()


class EmptiedBeforeTheStep(Loop):
    def step(self, i):
        loss_of(self.model).backward()
        self.optimizer.zero_grad()
        self.optimizer.step()


@pytest.mark.parametrize("loop", [NeverStepped, EmptiedBeforeTheStep], ids=lambda loop: loop.__name__)
def test_gradients_that_no_step_consumed_are_counted(loop):
    snapshots = loop().run(6)
    assert all(s["witness"]["dropped"].tolist() == [1] for s in snapshots[1:])
    assert all(s["witness"]["unzeroed"].tolist() == [0] for s in snapshots[1:])


@pytest.mark.parametrize("loop", [ZeroBefore, ZeroAfter, Accumulate, AccumulateInside, Closure, Scaled])
def test_what_a_healthy_loop_consumed_was_not_dropped(loop):
    tables = [s["witness"] for s in loop().run(12) if "witness" in s]
    assert sum(table["dropped"].sum() for table in tables) == 0


def test_what_came_in_and_what_was_consumed_give_the_coefficient_of_clipping():
    class Clipped(Loop):
        def step(self, i):
            self.optimizer.zero_grad()
            loss_of(self.model).backward()
            norm = nn.utils.clip_grad_norm_(self.model.parameters(), 0.01)
            self.expected = 0.01 / float(norm)
            self.optimizer.step()

    loop = Clipped()
    found = row(loop.run(3)[-1]["witness"], "2.bias")
    assert (found["sum_sq"] / found["incoming_sq"]) ** 0.5 == pytest.approx(loop.expected, rel=1e-3)


def test_numbers_are_those_of_the_float64_twin():
    class Twin(ZeroBefore):
        def step(self, i):
            super().step(i)
            gradient = self.model.get_parameter("2.bias").grad
            assert gradient is not None
            self.expected = float(gradient.double().square().sum())

    loop = Twin()
    found = row(loop.run(3)[-1]["witness"], "2.bias")
    assert found == pytest.approx(
        {"count": 1, "unzeroed": 0, "dropped": 0, "incoming_sq": loop.expected, "sum_sq": loop.expected}
    )


def test_of_several_backward_passes_it_is_not_known_what_came_in():
    assert AccumulateInside().run(3)[-1]["witness"]["incoming_sq"].tolist() == [0]


@pytest.mark.parametrize("told", [True, False], ids=["told", "met-in-the-first-step"])
def test_a_scaler_is_no_clipping(told):
    loop = Scaled()
    found = row(loop.run(3, scaler=loop.scaler if told else None)[-1]["witness"], "2.bias")
    assert found["sum_sq"] > 0
    assert found["incoming_sq"] == pytest.approx(found["sum_sq"], rel=1e-5)


def test_a_witness_without_gradients_is_replaced():
    class Unused(ZeroBefore):
        def __init__(self):
            super().__init__()
            self.model.append(nn.Identity())
            self.model[3].register_parameter("spare", nn.Parameter(torch.zeros(2)))
            self.optimizers = [sgd(self.model)]
            (self.optimizer,) = self.optimizers

    assert Unused().run(4)[-1]["witness"].names == ("2.bias",)


def test_copies_are_not_watched_and_no_hook_is_left():
    model = mlp()
    optimizer = sgd(model)
    with watched(model, optimizer, "witness") as vitals:
        twins = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
        for twin in twins:
            twin(torch.randn(8, 4)).sum().backward()
        loss_of(model).backward()
        optimizer.step()
        vitals.step()
    assert not any(p._backward_hooks for p in model.parameters())
