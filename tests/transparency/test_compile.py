"""`torch.compile` in every place: compiled and broken as often as without us, and what is hidden is said."""

import shutil
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._dynamo.utils import counters

from tests.transparency.twins import EVERY_STEP, GAPS, loop, twins

SOME = {"every": EVERY_STEP, "gaps": GAPS}
OUTSIDE = "compiled code runs without hooks"
INSIDE = "Part of the model ran compiled"
NOTHING = "No training forward pass of the model was seen"
BOUNDARY = "what went in and came out was not seen"
LOSS = "No loss function of torch.nn.functional was seen"


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 16), nn.ReLU())
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        return self.head(torch.tanh(self.body(x)))


class Training:
    """One way of compiling a training: before the watch begins, after that, and how a step is made."""

    watched: Any
    model: Any

    def __init__(self, backend):
        self.graphs = 0
        self.backend = backend
        self.model = self.watched = Net()
        self.fast = self.model
        self.opt = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9)

    def compiled(self, what):
        return torch.compile(what, backend=self.backend)

    def before(self): ...

    def after(self): ...

    def step(self, x, y):
        loss = F.cross_entropy(self.fast(x), y)
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()
        return loss


class Before(Training):
    def before(self):
        self.fast = self.watched = self.compiled(self.model)


class BeforeButInnerWatched(Training):
    def before(self):
        self.fast = self.compiled(self.model)


class After(Training):
    def after(self):
        self.fast = self.compiled(self.model)


class InPlace(Training):
    def before(self):
        self.model.compile(backend=self.backend)


class InPlaceAfter(Training):
    def after(self):
        self.model.compile(backend=self.backend)


class Part(Training):
    def before(self):
        self.model.body = self.compiled(self.model.body)


class PartInPlace(Training):
    def before(self):
        self.model.body[0].compile(backend=self.backend)


class PartAfter(Training):
    def after(self):
        self.model.body = self.compiled(self.model.body)


class Loss(Training):
    def before(self):
        self.loss = self.compiled(lambda out, y: F.cross_entropy(out, y) * 1.0)

    def step(self, x, y):
        loss = self.loss(self.model(x), y)
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()
        return loss


class ModelAndLoss(Training):
    def after(self):
        self.both = self.compiled(lambda x, y: F.cross_entropy(self.model(x), y))

    def step(self, x, y):
        loss = self.both(x, y)
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()
        return loss


class OptimizerStep(Training):
    def after(self):
        self.update = self.compiled(self.opt.step)

    def step(self, x, y):
        loss = F.cross_entropy(self.model(x), y)
        self.opt.zero_grad()
        loss.backward()
        self.update()
        return loss


class WholeStep(Training):
    def after(self):
        self.whole = self.compiled(super().step)

    def step(self, x, y):
        return self.whole(x, y).detach()


BLIND = {
    Before: (OUTSIDE, LOSS),
    BeforeButInnerWatched: (INSIDE, NOTHING, BOUNDARY, LOSS),
    After: (INSIDE, NOTHING, BOUNDARY, LOSS),
    InPlace: (OUTSIDE, NOTHING, BOUNDARY, LOSS),
    InPlaceAfter: (INSIDE, NOTHING, BOUNDARY, LOSS),
    Part: (OUTSIDE, LOSS),
    PartInPlace: (LOSS,),
    PartAfter: (OUTSIDE, LOSS),
    Loss: (LOSS,),
    ModelAndLoss: (INSIDE, NOTHING, BOUNDARY, LOSS),
    OptimizerStep: (LOSS,),
    WholeStep: (INSIDE, NOTHING, BOUNDARY, LOSS),
}


def run(watch, way, backend, steps=14):
    torch._dynamo.reset()
    counters.clear()
    graphs = []

    def counted(graph, inputs):
        graphs.append(graph)
        return graph.forward if backend == "eager" else torch._dynamo.lookup_backend(backend)(graph, inputs)

    training = way(counted)
    training.before()
    norms = []
    with watch(training.watched, training.opt) as vitals:
        training.after()

        def step(_):
            x = torch.randn(16, 8)
            loss = training.step(x, x[:, :3].argmax(1))
            grads = [p.grad.flatten().double() for p in training.model.parameters() if p.grad is not None]
            norms.append(float(torch.cat(grads).norm()))
            return loss

        loop(step, vitals, steps)
    counts.append((len(graphs), sum(counters["graph_break"].values())))
    return [p.detach().clone() for p in training.model.parameters()], training.opt, norms


counts: list[tuple[int, int]] = []


@pytest.fixture(autouse=True)
def fresh():
    counts.clear()
    yield
    torch.compiler.reset()


@pytest.mark.parametrize("schedule", SOME.values(), ids=SOME.keys())
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("way", BLIND, ids=lambda way: way.__name__)
@pytest.mark.filterwarnings("ignore:.*")  # of the compiler's own code
def test_nothing_is_compiled_or_broken_more_often(way, backend, schedule):
    seen = twins(lambda watch: run(watch, way, backend), schedule=schedule)
    (bare, bare_breaks), (ours, our_breaks) = counts
    assert ours == bare
    assert our_breaks <= bare_breaks
    for sentence in BLIND[way]:
        assert sentence in seen.blind
    assert len(seen.snapshots) == 14
    assert seen.numbers("gradient_norm") == pytest.approx(seen.result[-1], rel=1e-4)
    assert len(seen.snapshots[0]["update"]) == 4
    assert seen.alarms == []


@pytest.mark.filterwarnings("ignore:.*")
@pytest.mark.parametrize("way", [Before, After, InPlace, Loss, ModelAndLoss], ids=lambda way: way.__name__)
def test_who_forbids_to_compile_again_is_not_disturbed(way):
    with torch._dynamo.config.patch(error_on_recompile=True):
        twins(lambda watch: run(watch, way, "eager"), schedule=GAPS)


def test_hooks_that_were_compiled_go_at_the_end():
    def hooks(model):
        return [h for m in model.modules() for h in (*m._forward_hooks, *m._forward_pre_hooks)]

    seen = []

    def train(watch):
        torch._dynamo.reset()
        training = After(lambda graph, _: graph.forward)
        with watch(training.watched, training.opt) as vitals:
            training.after()
            loop(lambda _: training.step((x := torch.randn(16, 8)), x[:, :3].argmax(1)), vitals, 5)
            seen.append(len(hooks(training.model)))
        seen.append(len(hooks(training.model)))
        return training.opt

    twins(train)
    assert seen[:2] == [0, 0]
    assert seen[2] > 0
    assert seen[3] == 0


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a compiler")
@pytest.mark.filterwarnings("ignore:.*")
@pytest.mark.parametrize("way", [After], ids=lambda way: way.__name__)
def test_with_the_compiler_that_is_the_default(way):
    seen = twins(lambda watch: run(watch, way, "inductor", steps=6), schedule=GAPS)
    assert counts[0] == counts[1]
    assert seen.alarms == []
