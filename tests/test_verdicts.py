"""What real trainings of known health are told: the promises of the project, kept."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

import torchvitals
from torchvitals import Severity


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    x = torch.tensor(x, dtype=torch.float32)
    return (x - x.mean(0)) / (x.std(0) + 1e-6), torch.tensor(y)


def mlp(depth, width, *, act: Any = nn.ReLU, init=None, bias=True) -> Any:
    """Modules named `hidden.<i>.linear`, `hidden.<i>.act` and `head`; `init` None leaves torch's own."""
    torch.manual_seed(0)
    net = nn.Sequential()
    hidden = nn.Sequential()
    for i in range(depth):
        block = nn.Sequential()
        block.add_module("linear", nn.Linear(64 if i == 0 else width, width, bias=bias))
        block.add_module("act", act())
        hidden.add_module(str(i), block)
    net.add_module("hidden", hidden)
    net.add_module("head", nn.Linear(width, 10))
    for module in net.modules():
        if init is not None and isinstance(module, nn.Linear):
            init(module.weight)
            nn.init.zeros_(module.bias)
    return net


def train(model, digits, *, lr, optimizer: Any = torch.optim.SGD, steps=60):
    x, y = digits
    draw = torch.Generator().manual_seed(0)
    made = optimizer(model.parameters(), lr=lr)
    with torchvitals.watch(model, made, reporters=[], strict=True) as vitals:
        for _ in range(steps):
            rows = torch.randint(0, len(x), (64,), generator=draw)
            loss = F.cross_entropy(model(x[rows]), y[rows])
            made.zero_grad()
            loss.backward()
            made.step()
            vitals.step(loss)
    return vitals


def codes(vitals, above=Severity.INFO):
    return [i.code for i in vitals.incidents if i.severity > above]


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam], ids=["sgd", "adam"])
def test_twenty_relu_layers_with_torch_default_init_vanish_although_weight_gradients_look_alike(
    digits, optimizer
):
    model = mlp(20, 128, bias=False)
    x, y = digits
    F.cross_entropy(model(x[:256]), y[:256]).backward()
    first, last = model.hidden[0].linear.weight.grad.norm(), model.hidden[19].linear.weight.grad.norm()
    assert 0.3 < float(first / last) < 3
    model.zero_grad()
    vitals = train(model, digits, lr=1e-3, optimizer=optimizer, steps=20)
    (root, *_) = vitals.incidents
    assert (root.code, root.severity, root.onset) == ("TV308", Severity.CRITICAL, 0)
    assert "TV201" in root.explains
    assert any("init=he_normal" in remedy.overrides for remedy in root.remedies)


def test_twenty_relu_layers_with_he_init_are_healthy(digits):
    vitals = train(mlp(20, 128, init=nn.init.kaiming_normal_), digits, lr=0.01)
    assert vitals.verdict == "healthy"
    assert codes(vitals) == []


def test_sigmoid_vanishes_by_its_slope_and_an_early_site_is_named(digits):
    vitals = train(mlp(10, 64, act=nn.Sigmoid, init=nn.init.xavier_normal_), digits, lr=0.1)
    (root, *_) = vitals.incidents
    assert (root.code, root.cause, root.where[0]) == ("TV201", "activation slope", "hidden.0.linear")


def test_sixty_percent_dead_units_of_one_layer_are_reported_with_its_name_and_share(digits):
    model = mlp(10, 100, init=nn.init.kaiming_normal_)
    with torch.no_grad():
        model.hidden[4].linear.bias[:60] = -1e3
    vitals = train(model, digits, lr=0.01)
    (root,) = [i for i in vitals.incidents if i.severity > Severity.INFO]
    assert (root.code, root.where) == ("TV101", ("hidden.4.linear", "hidden.4.act"))
    assert root.evidence["dead_share"] == pytest.approx(0.6, abs=0.05)


def test_units_that_die_in_training_are_dated_to_the_step_of_their_death(digits):
    model = mlp(4, 64, init=nn.init.kaiming_normal_)
    x, y = digits
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with torchvitals.watch(model, optimizer, reporters=[], strict=True) as vitals:
        for step in range(60):
            rows = torch.arange(step * 20, step * 20 + 128) % len(x)
            loss = F.cross_entropy(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step == 12:
                model.hidden[2].linear.bias.data[:48] = -1e3
            vitals.step(loss)
    (dead,) = [i for i in vitals.incidents if i.severity > Severity.INFO]
    assert (dead.code, dead.where, dead.onset) == ("TV101", ("hidden.2.linear", "hidden.2.act"), 13)
    assert "step too large" in dead.cause


def test_adam_with_a_learning_rate_a_hundred_times_too_large_kills_relu_units_at_once(digits):
    vitals = train(
        mlp(4, 64, init=nn.init.kaiming_normal_), digits, lr=0.1, optimizer=torch.optim.Adam, steps=120
    )
    (root, *_) = vitals.incidents
    assert (root.code, root.severity) == ("TV302", Severity.CRITICAL)
    assert root.onset <= 5
    assert "TV101" in root.explains
    assert "learning rate" in root.remedies[0].text


def test_a_healthy_net_whose_outputs_are_95_percent_zeros_is_not_called_dead(digits):
    model = mlp(2, 400, init=nn.init.kaiming_normal_)
    with torch.no_grad():
        for block in model.hidden:
            block.linear.bias.fill_(-2.0)
    vitals = train(model, digits, lr=0.05, steps=150)
    with torch.no_grad():
        first = torch.relu(model.hidden[0].linear(digits[0]))
        second = torch.relu(model.hidden[1].linear(first))
    assert float((torch.stack([first, second]) == 0).float().mean()) > 0.95
    assert codes(vitals) == []


@pytest.mark.parametrize("act", [nn.ReLU, nn.LeakyReLU], ids=["relu", "leaky"])
def test_unit_variance_weights_explode_behind_relu(digits, act):
    vitals = train(mlp(10, 64, act=act, init=nn.init.normal_), digits, lr=0.1, steps=10)
    (root, *others) = [i for i in vitals.incidents if i.severity > Severity.INFO]
    assert (root.code, root.onset) == ("TV308", 0)
    assert "TV202" in root.explains
    assert all(i.explained_by == "TV308" for i in others)


def test_unit_variance_weights_do_not_explode_behind_sigmoid(digits):
    vitals = train(mlp(10, 64, act=nn.Sigmoid, init=nn.init.normal_), digits, lr=0.1)
    assert "TV202" not in codes(vitals, above=Severity(1))


@pytest.mark.parametrize("act", [nn.ReLU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh], ids=lambda a: a.__name__)
def test_zeros_are_symmetric_whatever_else_and_the_other_symptoms_hang_below(digits, act):
    vitals = train(mlp(10, 64, act=act, init=nn.init.zeros_), digits, lr=0.1)
    (root, *others) = vitals.incidents
    assert (root.code, root.severity, root.onset) == ("TV301", Severity.CRITICAL, 0)
    assert all(i.explained_by == "TV301" for i in others)


def test_a_last_layer_of_zeros_is_healthy(digits):
    model = mlp(4, 64, init=nn.init.kaiming_normal_)
    nn.init.zeros_(model.head.weight)
    assert codes(train(model, digits, lr=0.05)) == []


def test_residual_branches_that_start_at_zero_are_healthy(digits):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(64, 64)
            self.b = nn.Linear(64, 64)
            nn.init.zeros_(self.b.weight)
            nn.init.zeros_(self.b.bias)

        def forward(self, x):
            return x + self.b(torch.relu(self.a(x)))

    torch.manual_seed(0)
    model = nn.Sequential(*(Block() for _ in range(8)), nn.Linear(64, 10))
    assert codes(train(model, digits, lr=0.05)) == []


def test_a_training_that_diverges_by_its_learning_rate_is_ill_with_one_root(digits):
    vitals = train(mlp(4, 64, init=nn.init.kaiming_normal_), digits, lr=50.0, steps=40)
    assert vitals.verdict == "ill"
    assert sum(i.explained_by is None for i in vitals.incidents if i.severity > Severity.INFO) == 1


def test_rows_that_no_sequence_reaches_are_idle_and_not_twins(digits):
    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.place = nn.Parameter(torch.zeros(64, 16))
            self.embed, self.head = nn.Linear(8, 16), nn.Linear(16, 10)

        def forward(self, x):
            x = self.embed(x.view(-1, 8, 8)) + self.place[:8]
            return self.head(torch.relu(x).mean(1))

    torch.manual_seed(0)
    assert codes(train(Positions(), digits, lr=0.05)) == []


def test_gates_that_start_shut_one_behind_the_other_are_healthy(digits):
    """adaLN-Zero: shift and scale rows have no gradient until the gate and the head have opened."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.branch, self.modulation = nn.Linear(64, 64), nn.Linear(64, 3 * 64)
            nn.init.zeros_(self.modulation.weight)
            nn.init.zeros_(self.modulation.bias)

        def forward(self, x):
            shift, scale, gate = self.modulation(torch.tanh(x)).chunk(3, -1)
            return x + gate * torch.relu(self.branch(x * (1 + scale) + shift))

    torch.manual_seed(0)
    model = nn.Sequential(*(Block() for _ in range(4)), nn.Linear(64, 10))
    nn.init.zeros_(model[-1].weight)  # pyright: ignore[reportArgumentType]
    assert codes(train(model, digits, lr=0.05)) == []


def test_scalar_parameters_do_not_hide_twins(digits):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = mlp(3, 32, init=lambda w: nn.init.constant_(w, 0.1))
            self.temperature = nn.Parameter(torch.tensor(1.0))

        def forward(self, x):
            return self.body(x) * self.temperature

    assert codes(train(Scaled(), digits, lr=0.001))[0] == "TV301"


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam], ids=["sgd", "adam"])
def test_a_cell_that_is_unrolled_by_hand_is_not_a_deep_net_of_its_calls(optimizer):
    class Unrolled(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.LSTMCell(8, 16)
            self.head = nn.Linear(16, 10)

        def forward(self, x):
            state = (x.new_zeros(len(x), 16), x.new_zeros(len(x), 16))
            for _ in range(20):
                state = self.cell(x, state)
            return self.head(state[0])

    torch.manual_seed(0)
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(500, 8, generator=draw)
    vitals = train(Unrolled(), (x, (x[:, 0] > 0).long()), lr=0.05, optimizer=optimizer, steps=80)
    assert codes(vitals) == []


@pytest.mark.parametrize("seed", range(3))
def test_deep_he_nets_that_lose_units_and_learn_are_not_called_ill(digits, seed):
    torch.manual_seed(seed)
    blocks = [nn.Sequential(nn.Linear(64, 64), nn.ReLU()) for _ in range(6)]
    model = nn.Sequential(*blocks, nn.Linear(64, 10))
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            nn.init.zeros_(module.bias)

    def momentum(parameters, lr):
        return torch.optim.SGD(parameters, lr=lr, momentum=0.9)

    vitals = train(model, digits, lr=0.05, optimizer=momentum, steps=200)
    assert codes(vitals) == []


def test_a_silent_layer_is_found_with_small_batches_too(digits):
    model = mlp(3, 64, init=nn.init.kaiming_normal_)
    nn.init.constant_(model.hidden[1].linear.bias, -1e3)
    x, y = digits
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with torchvitals.watch(model, optimizer, reporters=[], strict=True) as vitals:
        for step in range(700):
            rows = torch.arange(step * 8, step * 8 + 8) % len(x)
            loss = F.cross_entropy(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            vitals.step(loss)
    dead = next(i for i in vitals.incidents if i.code == "TV101")
    assert (dead.severity, dead.where[:2], dead.onset) == (
        Severity.CRITICAL,
        ("hidden.1.linear", "hidden.1.act"),
        0,
    )
