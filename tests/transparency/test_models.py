"""Models of every shape: what they take, give, compute inside, and how they are called."""

import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, parametrize
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests.transparency.twins import GAPS, loop, twins


@dataclass
class Out:
    logits: torch.Tensor
    note: str = ""


class Pair(NamedTuple):
    logits: torch.Tensor
    hidden: torch.Tensor


GIVES = {
    "tensor": (lambda z, _: z, lambda o: o),
    "dict": (lambda z, h: {"logits": z, "hidden": h}, lambda o: o["logits"]),
    "dataclass": (lambda z, _: Out(z), lambda o: o.logits),
    "named": (Pair, lambda o: o.logits),
    "list": (lambda z, h: [None, [h, z]], lambda o: o[1][1]),
}


class Net(nn.Module):
    def __init__(self, give=GIVES["tensor"][0]):
        super().__init__()
        self.body, self.head = nn.Linear(8, 16), nn.Linear(16, 3)
        self.give = give
        self.loss: Any = None

    def forward(self, x=None, *, given=None, target=None):
        x = given["x"] if given is not None else x
        h = torch.tanh(self.body(x))
        z = self.head(h)
        if target is not None:
            self.loss = F.cross_entropy(z, target)
            return None
        return self.give(z, h)


def batch(n=16):
    x = torch.randn(n, 8)
    return x, x[:, :3].argmax(1)


def train(watch, model, compute, steps=8, lr=0.1, **options):
    """`compute(model)` gives the loss."""
    opt = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=lr, momentum=0.5)
    with watch(model, opt, **options) as vitals:

        def step(_):
            opt.zero_grad()
            loss = compute(model)
            loss.backward()
            opt.step()
            return loss

        loop(step, vitals, steps)
    return model, opt


@pytest.mark.parametrize("kind", GIVES)
def test_whatever_a_model_gives(kind):
    give, take = GIVES[kind]

    def compute(model):
        x, y = batch()
        return F.cross_entropy(take(model(x)), y)

    seen = twins(lambda watch: train(watch, Net(give), compute))
    last = seen.snapshots[-1]
    assert {"body", "tanh", "head"} == set(last["activation"].names)
    assert set(last["activation_gradient"].names) == {"body", "tanh", "head"}
    assert last["output"].names == ("model",)
    assert seen.alarms == []


def test_a_model_that_gives_nothing_and_keeps_its_loss():
    def compute(model):
        x, y = batch()
        assert model(given={"x": x}, target=y) is None
        return model.loss

    seen = twins(lambda watch: train(watch, Net(), compute))
    last = seen.snapshots[-1]
    assert len(last["activation"]) == 3
    assert last["input"].names == ("input",)
    assert seen.alarms == []


def test_several_passes_in_a_step_are_added_up():
    def compute(model):
        return sum(F.cross_entropy(model(x), y) for x, y in (batch(16), batch(8)))

    seen = twins(lambda watch: train(watch, Net(), compute))
    last = seen.snapshots[-1]
    assert set(last["activation"]["count"]) == {24 * 16, 24 * 3}
    assert set(last["activation_gradient"]["count"]) == {24 * 16, 24 * 3}


@pytest.mark.parametrize("mode", ["no_grad", "inference_mode"])
@pytest.mark.parametrize("between", ["passes", "steps"])
def test_evaluation_in_the_middle_is_not_training(mode, between):
    """Its outputs are bit for bit those without us, and it leaves no site."""

    def run(watch):
        torch.manual_seed(3)
        model = nn.Sequential(
            nn.Linear(8, 16),
            nn.TransformerEncoder(
                nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True),
                2,
                enable_nested_tensor=False,
            ),
            nn.Linear(16, 3),
        )
        opt = torch.optim.SGD(model.parameters(), lr=0.05)
        outputs = []

        def evaluate():
            model.eval()
            with getattr(torch, mode)():
                outputs.append(model(torch.ones(4, 5, 8)).clone())
            model.train()

        with watch(model, opt) as vitals:

            def step(_):
                x = torch.randn(8, 5, 8)
                out = model(x)
                if between == "passes":
                    evaluate()
                loss = F.cross_entropy(out.mean(1), x.mean(1)[:, :3].argmax(1))
                opt.zero_grad()
                loss.backward()
                opt.step()
                return loss

            for _ in range(6):
                loop(step, vitals, 1)
                if between == "steps":
                    evaluate()
        return model, opt, outputs

    seen = twins(run)
    last = seen.snapshots[-1]
    assert last["activation"]["count"][last["activation"].index("2")] == 8 * 5 * 3
    assert last["input"]["count"].tolist() == [8 * 5 * 8]
    assert seen.alarms == []


def test_parameters_handed_in_by_functional_call():
    def compute(model):
        x, y = batch()
        scaled = {name: p * 1.0 for name, p in model.named_parameters()}
        return F.cross_entropy(torch.func.functional_call(model, scaled, (x,)), y)

    seen = twins(lambda watch: train(watch, Net(), compute))
    assert len(seen.snapshots[-1]["activation"]) == 3
    assert len(seen.snapshots[-1]["gradient"]) == 4
    assert seen.alarms == []


class Symmetric(nn.Module):
    def forward(self, w):
        return w.triu() + w.triu(1).transpose(-1, -2)


@pytest.mark.parametrize("kind", ["parametrize", "spectral", "old-spectral", "weight", "orthogonal"])
@pytest.mark.filterwarnings("ignore:.*deprecated:FutureWarning")
def test_weights_that_are_computed(kind):
    def build():
        model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))
        first = model[0]
        if kind == "parametrize":
            parametrize.register_parametrization(first, "weight", Symmetric())
        elif kind == "spectral":
            parametrizations.spectral_norm(first)
        elif kind == "old-spectral":
            torch.nn.utils.spectral_norm(first)
        elif kind == "weight":
            parametrizations.weight_norm(first)
        else:
            parametrizations.orthogonal(first)
        return model

    def compute(model):
        x, y = batch()
        return F.cross_entropy(model(x), y)

    seen = twins(lambda watch: train(watch, build(), compute, steps=12))
    assert seen.snapshots[-1]["activation"].names == ("0", "1", "2")
    assert seen.alarms == []


@pytest.mark.parametrize("packed", [True, False])
def test_recurrent_layers_with_and_without_packed_sequences(packed):
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(10, 8)
            self.lstm = nn.LSTM(8, 12, num_layers=2, batch_first=True, dropout=0.1, bidirectional=packed)
            self.head = nn.Linear(24 if packed else 12, 3)

        def forward(self, x, lengths):
            h = self.embed(x)
            if packed:
                h = pack_padded_sequence(h, lengths, batch_first=True, enforce_sorted=False)
            out, _ = self.lstm(h)
            if packed:
                out, _ = pad_packed_sequence(out, batch_first=True)
            return self.head(out.mean(1))

    def compute(model):
        x = torch.randint(0, 10, (8, 20))
        return F.cross_entropy(model(x, torch.randint(5, 21, (8,))), x[:, 0] % 3)

    seen = twins(lambda watch: train(watch, Reader(), compute))
    assert set(seen.snapshots[-1]["activation"].names) >= {"embed", "lstm", "head"}
    assert seen.alarms == []


@pytest.mark.parametrize("penalty", ["inputs", "parameters"])
def test_gradients_of_gradients(penalty):
    """What a gradient penalty computes on its way is no gradient of the loss."""
    oracle: list[dict[str, float]] = []

    def compute(model):
        x, y = batch()
        x.requires_grad_()
        z0 = model[0](x)
        h = model[1](z0)
        out = model[2](h)
        loss = F.cross_entropy(out, y)
        wrt = [x] if penalty == "inputs" else list(model.parameters())
        grads = torch.autograd.grad(loss, wrt, create_graph=True)
        loss = loss + 0.1 * sum(g.square().sum() for g in grads)
        if len(oracle) < 8:  # in the training that nobody watches, since a hook would hear this, too
            # The whole derivative of the loss by each site, the penalty's way included.
            found = torch.autograd.grad(loss, [z0, h, out], retain_graph=True)
            oracle.append({str(i): float(g.double().square().sum()) for i, g in enumerate(found)})
        return loss

    def build():
        return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))

    seen = twins(lambda watch: train(watch, build(), compute))
    assert seen.alarms == []
    for snapshot, expected in zip(seen.snapshots, oracle, strict=True):
        table = snapshot["activation_gradient"]
        assert dict(zip(table.names, table["sum_sq"], strict=True)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True:UserWarning")
def test_a_backward_pass_that_is_differentiated_is_told_where_there_is_no_other():
    """As optimizers that estimate curvature want it."""

    def run(watch):
        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))
        opt = torch.optim.SGD(model.parameters(), lr=0.1)
        with watch(model, opt) as vitals:

            def step(_):
                x, y = batch()
                loss = F.cross_entropy(model(x), y)
                loss.backward(create_graph=True)
                grads = [p.grad for p in model.parameters() if p.grad is not None]
                torch.autograd.grad(
                    torch.stack([(g * g.detach().sign()).sum() for g in grads]).sum(),
                    list(model.parameters()),
                )
                opt.step()
                opt.zero_grad()
                return loss.detach()

            loop(step, vitals, 8)
        return model, opt

    seen = twins(run)
    assert seen.snapshots[-1]["activation_gradient"].names == ("0", "1", "2")
    assert seen.alarms == []


def test_gradients_that_the_loop_writes_itself():

    def run(watch):
        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))
        opt = torch.optim.SGD(model.parameters(), lr=0.1)
        with watch(model, opt) as vitals:

            def step(_):
                x, y = batch()
                loss = F.cross_entropy(model(x), y)
                grads = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
                for p, g in zip(model.parameters(), grads, strict=True):
                    p.grad = g.detach()
                torch.autograd.grad(
                    torch.stack([(g * g.detach().sign()).sum() for g in grads]).sum(),
                    list(model.parameters()),
                )
                opt.step()
                opt.zero_grad()
                return loss

            loop(step, vitals, 8)
        return model, opt

    seen = twins(run)
    assert len(seen.snapshots[-1]["gradient"]) == 4
    assert seen.alarms == []


@pytest.mark.parametrize("create_graph", [True, False])
def test_gradients_that_are_asked_for_beside_the_training_are_no_illness(create_graph):
    """They come by the hooks of the parameters, and never into `.grad`."""

    def compute(model):
        x, y = batch()
        loss = F.cross_entropy(model(x), y)
        asked = torch.autograd.grad(
            loss, list(model.parameters()), create_graph=create_graph, retain_graph=True
        )
        return loss + (1e-3 * sum(g.square().sum() for g in asked) if create_graph else 0)

    seen = twins(lambda watch: train(watch, Net(), compute, steps=40, lr=0.05))
    assert seen.vitals.verdict == "healthy"


def test_gradients_by_the_thrown_away_backward_pass_of_a_probe_in_the_loop():
    """A first backward pass only to look, whose gradients are emptied, is the user's to lose."""

    def compute(model):
        x, y = batch()
        F.cross_entropy(model(x), y).backward()
        model.zero_grad()
        x, y = batch()
        return F.cross_entropy(model(x), y)

    seen = twins(lambda watch: train(watch, Net(), compute, steps=12))
    assert len(seen.snapshots) == 12


def test_what_is_changed_in_place():
    """Activations and residual sums that overwrite what they were given, a view, a buffer."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.act = nn.Linear(16, 16), nn.ReLU(inplace=True)
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, x):
            self.seen += 1
            out = self.inner(x)
            out += x
            out[:, :2].mul_(0.5)
            return F.relu_(self.act(out) - 0.1)

    def compute(model):
        x, y = batch()
        return F.cross_entropy(model(x), y)

    def build():
        return nn.Sequential(nn.Linear(8, 16), Block(), Block(), nn.Linear(16, 3))

    seen = twins(lambda watch: train(watch, build(), compute, steps=12))
    names = ("0", "1.inner", "1.act", "1.relu", "2.inner", "2.act", "2.relu", "3")
    assert seen.snapshots[-1]["activation"].names == names
    assert seen.alarms == []


def test_beside_anomaly_detection():
    def compute(model):
        x, y = batch()
        with torch.autograd.set_detect_anomaly(True):
            loss = F.cross_entropy(model(x), y)
            loss.backward(retain_graph=True)
        model.zero_grad()
        return loss

    seen = twins(lambda watch: train(watch, Net(), compute, steps=3))
    assert len(seen.snapshots[-1]["activation"]) == 3


def test_beside_hooks_of_the_user():
    heard: list[str] = []

    def build():
        model: Any = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))
        heard.clear()
        model[0].register_forward_pre_hook(lambda *_: heard.append("pre"))
        model[0].register_forward_hook(lambda *given: given[-1] * 1.5)
        model[1].register_full_backward_hook(lambda _, gi, __: (gi[0] * 2,))
        model[1].register_full_backward_pre_hook(lambda _, go: (go[0] * 0.5,))
        model[2].weight.register_hook(lambda g: g * 3)
        model[2].weight.register_post_accumulate_grad_hook(lambda _: heard.append("post"))
        return model

    def compute(model):
        x, y = batch()
        return F.cross_entropy(model(x), y)

    def run(watch):
        made = train(watch, build(), compute)
        return (*made, tuple(heard))

    seen = twins(run)
    assert seen.snapshots[-1]["activation"].names == ("0", "1", "2")
    assert seen.alarms == []


class Counting(TorchFunctionMode):
    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.calls.append(getattr(func, "__name__", str(func)))
        return func(*args, **(kwargs or {}))


class Dispatched(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("mode", [Counting, Dispatched])
@pytest.mark.parametrize("where", ["forward", "step", "loop"])
def test_beside_modes_of_the_user(mode, where):
    def compute(model):
        x, y = batch()
        if where == "forward":
            with mode():
                out = model(x)
            return F.cross_entropy(out, y)
        if where == "step":
            with mode():
                return F.cross_entropy(model(x), y)
        return F.cross_entropy(model(x), y)

    def run(watch):
        if where == "loop":
            with mode():
                return train(watch, Net(), compute)
        return train(watch, Net(), compute)

    seen = twins(run)
    assert len(seen.snapshots[-1]["activation"]) == 3
    assert torch.overrides._get_current_function_mode() is None
    assert seen.alarms == []


def test_with_a_default_device():
    def run(watch):
        torch.set_default_device("cpu")
        try:
            return train(watch, Net(), lambda m: F.cross_entropy(m((b := batch())[0]), b[1]))
        finally:
            torch.set_default_device(None)

    seen = twins(run)
    assert len(seen.snapshots[-1]["activation"]) == 3
    assert "loss" in seen.snapshots[-1]
    assert seen.alarms == []


@pytest.mark.parametrize("schedule", [None, GAPS], ids=["dense", "gaps"])
def test_a_teacher_that_is_a_copy_of_the_model(schedule):
    def run(watch):
        model = Net()
        teacher = copy.deepcopy(model).requires_grad_(False)

        def compute(model):
            x, _ = batch()
            with torch.no_grad():
                wanted = teacher(x + 0.1).softmax(1)
            return F.cross_entropy(model(x), wanted)

        return train(watch, model, compute, steps=20), teacher

    seen = twins(run, **({} if schedule is None else {"schedule": schedule}))
    assert seen.snapshots[0]["activation"]["count"].tolist() == [256, 256, 48]
