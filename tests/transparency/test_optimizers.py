"""Loops of every shape: accumulation, clipping, several optimizers, several passes in a step."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.transparency.twins import GAPS, loop, twins


def net() -> Any:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))


def batch(n=16):
    x = torch.randn(n, 8)
    return x, x[:, :3].argmax(1)


def norm(parameters) -> float:
    return float(torch.cat([p.grad.flatten().double() for p in parameters if p.grad is not None]).norm())


def sgd(parameters, lr=0.1, **options):
    return torch.optim.SGD(parameters, lr=lr, **options)


@pytest.mark.parametrize("told", [True, False], ids=["told", "untold"])
@pytest.mark.parametrize("clip", ["norm", "value"])
def test_accumulated_gradients_are_told_whole_if_asked_before_they_are_clipped(clip, told):
    def train(watch):
        opt = sgd((model := net()).parameters())
        norms: dict[str, list[float]] = {"whole": [], "clipped": []}
        with watch(model, opt) as vitals:
            for i in range(12):
                x, y = batch()
                loss = F.cross_entropy(model(x), y) / 3
                loss.backward()
                if i % 3 == 2:
                    norms["whole"].append(norm(model.parameters()))
                    if told:
                        vitals.gradients_ready()
                    if clip == "norm":
                        nn.utils.clip_grad_norm_(model.parameters(), 0.05)
                    else:
                        nn.utils.clip_grad_value_(model.parameters(), 0.01)
                    norms["clipped"].append(norm(model.parameters()))
                    opt.step()
                    opt.zero_grad(set_to_none=False)
                vitals.step(loss)
        return model, opt, norms

    seen = twins(train)
    assert len(seen.snapshots) == 4
    assert seen.numbers("gradient_norm") == pytest.approx(seen.result[-1]["whole" if told else "clipped"])
    assert set(seen.labels("clipped")) == {"no" if told else "unknown"}


class GAN(nn.Module):
    def __init__(self):
        super().__init__()
        self.g = nn.Sequential(nn.Linear(4, 16), nn.LeakyReLU(0.2), nn.Linear(16, 8))
        self.d = nn.Sequential(nn.Linear(8, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))


@pytest.mark.parametrize("told", [True, False], ids=["told", "untold"])
@pytest.mark.parametrize("every", [1, 3], ids=["each-time", "alternating"])
def test_each_of_two_adversaries_is_told_by_its_own_gradients(every, told):
    bce = F.binary_cross_entropy_with_logits

    def train(watch):
        model = GAN()
        g_opt, d_opt = (
            torch.optim.Adam(m.parameters(), lr=2e-3, betas=(0.5, 0.9)) for m in (model.g, model.d)
        )
        norms: list[dict[str, float]] = []
        with watch(model, [g_opt, d_opt]) as vitals:

            def step(i):
                fake, real = model.g(torch.randn(16, 4)), torch.randn(16, 8) + 1
                d_opt.zero_grad()
                judged = torch.cat([model.d(real), model.d(fake.detach())])
                d_loss = bce(judged, torch.cat([torch.ones(16, 1), torch.zeros(16, 1)]))
                d_loss.backward()
                norms.append({"d": norm(model.d.parameters())})
                if told:
                    vitals.gradients_ready()
                nn.utils.clip_grad_norm_(model.d.parameters(), 0.01)
                if not told:
                    norms[-1]["d"] = norm(model.d.parameters())
                d_opt.step()
                if i % every == 0:
                    g_opt.zero_grad()
                    bce(model.d(fake), torch.ones(16, 1)).backward()
                    norms[-1]["g"] = norm(model.g.parameters())
                    if told:
                        vitals.gradients_ready()
                    g_opt.step()
                return d_loss

            loop(step, vitals, 9)
        return model, g_opt, d_opt, norms

    seen = twins(train)
    assert seen.alarms == []
    assert len(seen.snapshots) == 9
    told_of: list[dict[str, float]] = []
    for snapshot in seen.snapshots:
        table = snapshot["gradient"]
        assert len(set(table.names)) == len(table.names)
        told_of.append({})
        for part in ("g", "d"):
            rows = [i for i, name in enumerate(table.names) if name.startswith(part)]
            if rows:
                told_of[-1][part] = float(table["sum_sq"][rows].sum() ** 0.5)
    for i, expected in enumerate(seen.result[-1]):
        if "g" in expected:
            assert told_of[i]["g"] == pytest.approx(expected["g"])
        if not ("g" in expected and told):  # else G's pass has added to what D had consumed
            assert told_of[i]["d"] == pytest.approx(expected["d"])


class SAM(torch.optim.Optimizer):
    """Sharpness-aware minimisation around SGD, in both forms in which it is used."""

    def __init__(self, params: Any, lr: float = 0.1, rho: float = 0.05):
        super().__init__(params, {"lr": lr, "rho": rho})
        self.base = torch.optim.SGD(self.param_groups, lr=lr)

    @torch.no_grad()
    def first_step(self):
        ps = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        total = torch.stack([p.grad.norm() for p in ps]).norm() + 1e-12
        for p in ps:
            self.state[p]["moved"] = p.grad * (self.param_groups[0]["rho"] / total)
            p.add_(self.state[p]["moved"])

    @torch.no_grad()
    def second_step(self):
        for p in self.state:
            p.sub_(self.state[p]["moved"])
        self.base.step()

    @torch.no_grad()
    def step(self, closure):  # pyright: ignore[reportIncompatibleMethodOverride]
        with torch.enable_grad():
            loss = closure()
        self.first_step()
        self.base.zero_grad()
        with torch.enable_grad():
            closure()
        self.second_step()
        return loss


@pytest.mark.parametrize("form", ["closure", "two-pass"])
def test_sharpness_aware_minimisation_is_told_by_the_gradients_that_it_consumes(form):
    def train(watch):
        model = net()
        opt = SAM(model.parameters())
        norms, moves = [], []
        with watch(model, opt if form == "closure" else opt.base) as vitals:

            def step(_):
                x, y = batch()
                before = torch.cat([p.detach().flatten().double() for p in model.parameters()])

                def closure():
                    loss = F.cross_entropy(model(x), y)
                    loss.backward()
                    return loss

                if form == "closure":
                    loss = opt.step(closure)
                else:
                    loss = closure()
                    opt.first_step()
                    opt.base.zero_grad()
                    closure()
                    opt.second_step()
                norms.append(norm(model.parameters()))
                after = torch.cat([p.detach().flatten().double() for p in model.parameters()])
                moves.append(float((after - before).norm()))
                opt.base.zero_grad()
                return loss

            loop(step, vitals, 12)
        return model, opt.base, norms, moves

    seen = twins(train)
    *_, norms, moves = seen.result
    assert seen.numbers("gradient_norm") == pytest.approx(norms)
    assert len(seen.snapshots) == 12
    assert seen.vitals.verdict == "healthy"
    if form == "closure":
        told = [float(s["update"]["sum_sq"].sum() ** 0.5) for s in seen.snapshots]
        assert told == pytest.approx(moves, rel=1e-3)


def test_an_optimizer_that_steps_twice_in_an_iteration_is_told_by_its_last_gradients():
    def train(watch):
        opt = sgd((model := net()).parameters())
        norms = []
        with watch(model, opt) as vitals:

            def step(_):
                loss = None
                for _ in range(2):
                    x, y = batch()
                    opt.zero_grad()
                    loss = F.cross_entropy(model(x), y)
                    loss.backward()
                    opt.step()
                norms.append(norm(model.parameters()))
                return loss

            loop(step, vitals, 12)
        return model, opt, norms

    seen = twins(train)
    assert seen.numbers("gradient_norm") == pytest.approx(seen.result[-1])
    assert seen.vitals.verdict == "healthy"


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
@pytest.mark.parametrize("zeroed", ["inside", "outside"])
def test_closures_are_told_by_the_gradients_of_their_last_evaluation(zeroed, search):
    def train(watch):
        model = net()
        opt = torch.optim.LBFGS(model.parameters(), lr=0.3, max_iter=4, line_search_fn=search)
        x, y = batch(64)
        norms, before = [], []
        with watch(model, opt) as vitals:

            def closure():
                opt.zero_grad()
                loss = F.cross_entropy(model(x), y)
                loss.backward()
                return loss

            def step(_):
                before.append(float(model[0].weight.detach().double().norm()))
                loss = opt.step(closure)
                norms.append(norm(model.parameters()))
                if zeroed == "outside":
                    opt.zero_grad()
                return loss

            loop(step, vitals, 5)
        return model, opt, norms, before

    seen = twins(train)
    *_, norms, before = seen.result
    assert len(seen.snapshots) == 5
    assert seen.alarms == []
    # The parameters are those that the step began with.
    told = [s["parameter"]["sum_sq"][s["parameter"].index("0.weight")] ** 0.5 for s in seen.snapshots]
    assert told == pytest.approx(before, rel=1e-5)
    # The last gradient that was computed lies in `.grad` when the step is over.
    assert seen.numbers("gradient_norm") == pytest.approx(norms)


def test_a_closure_of_an_ordinary_optimizer_is_told_by_what_it_computed():
    def train(watch):
        opt = sgd((model := net()).parameters())
        norms = []
        with watch(model, opt) as vitals:

            def step(_):
                x, y = batch()

                def closure():
                    opt.zero_grad()
                    loss = F.cross_entropy(model(x), y)
                    loss.backward()
                    norms.append(norm(model.parameters()))
                    return loss

                return opt.step(closure=closure)

            loop(step, vitals, 20)
        return model, opt, norms

    seen = twins(train)
    assert seen.numbers("gradient_norm") == pytest.approx(seen.result[-1])
    assert seen.vitals.verdict == "healthy"


def test_an_optimizer_over_a_part_of_the_model_with_several_groups():
    def train(watch):
        model: Any = nn.ModuleDict({"a": net(), "b": net()})
        for p in model["b"].parameters():
            p.requires_grad_(False)
        a = model["a"]
        opt = torch.optim.AdamW(
            [{"params": a[0].parameters(), "lr": 1e-2}, {"params": a[2].parameters(), "lr": 1e-3}],
            weight_decay=0.0,
        )
        with watch(model, opt) as vitals:

            def step(_):
                x, y = batch()
                loss = F.cross_entropy(a(x) + model["b"](x).detach(), y)
                opt.zero_grad()
                loss.backward()
                opt.step()
                return loss

            loop(step, vitals, 20)
        return model, opt

    seen = twins(train)
    assert set(seen.snapshots[-1]["gradient"].names) == {
        f"a.{i}.{k}" for i in (0, 2) for k in ("weight", "bias")
    }
    assert seen.numbers("lr") == [1e-2] * 20
    assert seen.vitals.verdict == "healthy"


def test_layers_frozen_unfrozen_added_and_replaced_in_the_middle():
    def train(watch):
        model: Any = nn.Sequential(
            nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3)
        )
        opt = sgd(model.parameters())
        with watch(model, opt) as vitals:

            def step(i):
                if i == 3:
                    model[0].requires_grad_(False)
                if i == 6:
                    model[0].requires_grad_(True)
                if i == 9:
                    model.append(nn.Linear(3, 3))
                    opt.add_param_group({"params": list(model[5].parameters())})
                if i == 12:
                    model[2] = nn.Linear(16, 16)
                    opt.param_groups[0]["params"][2:4] = list(model[2].parameters())
                x, y = batch()
                opt.zero_grad()
                loss = F.cross_entropy(model(x), y)
                loss.backward()
                opt.step()
                return loss

            loop(step, vitals, 18)
        return model, opt

    seen = twins(train)
    rows = [len(s["gradient"]) for s in seen.snapshots]
    # What is new is seen from the next due step on.
    assert rows == [6] * 3 + [4] * 3 + [6] * 4 + [8] * 2 + [6] + [8] * 5
    assert len(seen.snapshots[-1]["update"]) == 8
    assert seen.alarms == []


@pytest.mark.parametrize("schedule", [None, GAPS], ids=["dense", "gaps"])
def test_sparse_embeddings_and_tied_weights(schedule):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(20, 8, sparse=True)
            self.inner = nn.Linear(8, 8)
            self.out = nn.Linear(8, 8)
            self.out.weight = self.inner.weight
            self.head = nn.Linear(8, 3)

        def forward(self, x):
            return self.head(self.out(self.inner(self.embed(x).mean(1)).relu()).relu())

    def train(watch):
        model: Any = Net()
        opts: list[Any] = [torch.optim.SparseAdam(model.embed.parameters(), lr=1e-2)]
        rest = {id(p): p for n, p in model.named_parameters() if not n.startswith("embed")}
        opts.append(torch.optim.Adam(list(rest.values()), lr=1e-2))
        norms = []
        with watch(model, opts) as vitals:

            def step(_):
                x = torch.randint(0, 20, (16, 5))
                loss = F.cross_entropy(model(x), x[:, 0] % 3)
                for opt in opts:
                    opt.zero_grad()
                loss.backward()
                norms.append(
                    float(
                        torch.cat(
                            [
                                (p.grad.to_dense() if p.grad.is_sparse else p.grad).flatten().double()
                                for p in model.parameters()
                            ]
                        ).norm()
                    )
                )
                for opt in opts:
                    opt.step()
                return loss

            loop(step, vitals, 20)
        return model, opts, norms

    seen = twins(train, **({} if schedule is None else {"schedule": schedule}))
    assert seen.numbers("gradient_norm") == pytest.approx(seen.result[-1], rel=1e-5)
    assert seen.alarms == []
