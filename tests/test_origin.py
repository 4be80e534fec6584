"""A NaN is traced to where it was born, whatever the step."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import torchvitals
from torchvitals import Schedule, Severity

EVERY_STEP = Schedule(dense=0, every=1)
SELDOM = Schedule(dense=2, every=64)


class Body(nn.Module):
    """Three layers with a hook for mischief between them and after them."""

    def __init__(self, mischief=None):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4)
        self.middle = mischief or nn.Identity()

    def forward(self, x):
        return self.head(self.middle(torch.relu(self.second(torch.relu(self.first(x))))))


class Exp(nn.Module):
    """Overflows when it is told to."""

    on = False

    def forward(self, x):
        return torch.exp(x * 1e3 + 100) if self.on else torch.tanh(x)


class Root(nn.Module):
    """Its derivative is infinite where the input is 0."""

    on = False

    def forward(self, x):
        return torch.sqrt(x * 0) if self.on else x


def run(model, *, at, schedule, loss_fn=F.cross_entropy, spoil=None, steps=30, code="TV203"):
    torch.manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with torchvitals.watch(model, optimizer, reporters=[], schedule=schedule, strict=True) as vitals:
        for step in range(steps):
            x, y = torch.randn(16, 8), torch.randint(0, 4, (16,))
            if step == at and spoil is not None:
                spoil(model, x)
            loss = loss_fn(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            vitals.step(loss)
    (root, *others) = vitals.incidents
    assert all(i.explained_by == root.code for i in others if i.severity > Severity.INFO)
    assert (root.code, root.severity, root.onset) == (code, Severity.CRITICAL, at)
    return root


@pytest.mark.parametrize("schedule", [EVERY_STEP, SELDOM], ids=["due", "not-due"])
def test_a_nan_in_one_input_row_is_traced_to_the_row_and_the_batch(schedule):
    def spoil(model, x):
        x[11, 3] = float("nan")

    root = run(Body(), at=17, schedule=schedule, spoil=spoil, code="TV501")
    assert root.where == ("input",)
    assert "TV203" in root.explains
    assert (root.evidence["batch"], root.evidence["row"]) == (17, 11)
    assert "Row 11 of input in batch 17" in root.message


@pytest.mark.parametrize("schedule", [EVERY_STEP, SELDOM], ids=["due", "not-due"])
def test_log_of_zero_in_a_custom_loss_is_traced_to_the_loss(schedule):
    def spoil(model, x):
        model.spoiled = True

    def loss_fn(out, y):
        p = torch.softmax(out, 1)[:, 0]
        return -torch.log(p * (0.0 if getattr(model, "spoiled", False) else 1.0)).mean()

    model = Body()
    root = run(model, at=9, schedule=schedule, loss_fn=loss_fn, spoil=spoil)
    assert root.where == ("loss",)
    assert "log(0)" in root.cause


def test_sqrt_at_zero_is_traced_to_the_backward_pass_and_the_site_before_it():
    def spoil(model, x):
        model.middle.on = True

    root = run(Body(Root()), at=9, schedule=EVERY_STEP, spoil=spoil)
    assert root.evidence["origin"] == "backward"
    assert root.where[0] == "relu#2"
    assert "sqrt at 0" in root.cause


def test_sqrt_at_zero_is_known_for_the_backward_pass_also_in_a_step_that_is_not_due():
    def spoil(model, x):
        model.middle.on = True

    root = run(Body(Root()), at=9, schedule=SELDOM, spoil=spoil)
    assert root.evidence["origin"] == "backward"
    assert root.where[0] == "second.bias"


def test_an_overflowing_module_is_named():
    def spoil(model, x):
        model.middle.on = True

    root = run(Body(Exp()), at=9, schedule=EVERY_STEP, spoil=spoil)
    assert root.evidence["origin"] == "forward"
    assert root.where[0] == "middle"


def test_an_overflow_in_a_step_that_is_not_due_is_known_to_lie_in_the_forward_pass_and_no_more_is_claimed():
    def spoil(model, x):
        model.middle.on = True

    root = run(Body(Exp()), at=9, schedule=SELDOM, spoil=spoil)
    assert root.evidence["origin"] == "forward"
    assert root.where == ("model",)
    assert "not known" in root.message


def test_a_parameter_that_was_never_initialised_is_named():
    model = Body()
    with torch.no_grad():
        model.second.weight[3, 3] = float("inf")
    root = run(model, at=0, schedule=SELDOM)
    assert (root.evidence["origin"], root.where) == ("parameters", ("second.weight",))


def test_an_optimizer_that_makes_nan_of_finite_gradients_is_named():
    model = Body()
    optimizer = torch.optim.Adam(model.parameters(), eps=0.0)  # 0 / 0 where a gradient is exactly 0
    with torch.no_grad():
        model.first.bias.fill_(-1e3)
    with torchvitals.watch(model, optimizer, reporters=[], strict=True) as vitals:
        loss = F.cross_entropy(model(torch.randn(16, 8)), torch.randint(0, 4, (16,)))
        loss.backward()
        optimizer.step()
        vitals.step(loss)
    (root,) = [i for i in vitals.incidents if i.code == "TV203"]
    assert root.evidence["origin"] == "optimizer"
    assert root.where[0].startswith("first")


class Between(nn.Module):
    """An operation of the model's own stands between its two layers."""

    on = False

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x):
        x = torch.relu(self.first(x))
        return self.head(x * 0 / (x * 0).sum(1, keepdim=True) if self.on else x)


def test_a_weighted_sum_of_small_numbers_is_not_accused_of_an_overflow():
    root = run(Between(), at=5, schedule=EVERY_STEP, spoil=lambda model, _: setattr(model, "on", True))
    assert (root.where[1], root.cause) == ("head", "undefined operation")
    assert "between them" in root.message


def test_a_divergence_by_the_learning_rate_is_told_to_lower_it():
    torch.manual_seed(0)
    model = Body()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e25)
    with torchvitals.watch(model, optimizer, reporters=[], strict=True) as vitals:
        for _ in range(6):
            loss = F.cross_entropy(model(torch.randn(16, 8)), torch.randint(0, 4, (16,)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            vitals.step(loss)
    (root, *_) = vitals.incidents
    assert root.cause.endswith("learning rate too large")
    assert "learning rate" in root.remedies[0].text
