"""Mixed precision: gradients are told unscaled, and steps that a scaler skips are no illness."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.transparency.twins import loop, twins

SCALERS = {"told": True, "untold": False}


def net() -> Any:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))


def batch(n=16):
    x = torch.randn(n, 8)
    return x, x[:, :3].argmax(1)


def amp(
    watch, *, told, dtype=torch.float16, init_scale=2.0**10, interval=2000, clip=None, optimizer=None, steps=8
):
    model = net()
    opt = (optimizer or (lambda p: torch.optim.SGD(p, lr=0.1)))(model.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=init_scale, growth_interval=interval)
    norms, scales = [], []
    with watch(model, opt, **({"scaler": scaler} if told else {})) as vitals:

        def step(_):
            x, y = batch()
            opt.zero_grad()
            with torch.autocast("cpu", dtype):
                loss = F.cross_entropy(model(x), y)
            # The oracle of what the optimizer consumes: the gradient of the loss that nobody scaled.
            scaler.scale(loss).backward()
            scale = scaler.get_scale()
            grads = torch.cat([p.grad.flatten() for p in model.parameters()]).double()
            norms.append(float(grads.norm() / scale))
            if clip is not None:
                scaler.unscale_(opt)
                vitals.gradients_ready()
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            scaler.step(opt)
            scaler.update()
            scales.append(scaler.get_scale())
            return loss.detach()

        loop(step, vitals, steps)
    return model, opt, scales, norms


@pytest.mark.parametrize("clip", [None, 0.01], ids=["whole", "clipped"])
@pytest.mark.parametrize("told", SCALERS.values(), ids=SCALERS.keys())
@pytest.mark.parametrize(
    "optimizer",
    [
        pytest.param(lambda p: torch.optim.SGD(p, lr=0.1), id="sgd"),
        pytest.param(lambda p: torch.optim.SGD(p, lr=0.1, fused=True), id="fused-sgd"),
        pytest.param(lambda p: torch.optim.AdamW(p, lr=1e-2, fused=True), id="fused-adamw"),
    ],
)
def test_gradients_are_those_of_the_loss_without_the_scale(optimizer, told, clip):
    seen = twins(lambda watch: amp(watch, told=told, clip=clip, optimizer=optimizer))
    *_, norms = seen.result
    assert seen.numbers("gradient_norm") == pytest.approx(norms, rel=1e-3)
    assert seen.alarms == []


@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
@pytest.mark.parametrize("told", SCALERS.values(), ids=SCALERS.keys())
def test_overflows_of_the_first_steps_are_skipped_steps_and_no_alarm(told, fused):
    def optimizer(p):
        return torch.optim.SGD(p, lr=0.1, fused=fused)

    seen = twins(lambda watch: amp(watch, told=told, init_scale=2.0**24, steps=24, optimizer=optimizer))
    _, _, scales, _ = seen.result
    fell = [b < a for a, b in zip([2.0**24, *scales], scales, strict=False)]
    assert 2 < sum(fell) < 20
    assert seen.alarms == []
    assert seen.vitals.verdict == "healthy"
    if told or fused:  # else the optimizer is not called, and nobody knows
        assert [label == "scaler" for label in seen.labels("skipped")] == fell


def test_the_skip_that_follows_each_growth_of_the_scale_is_no_alarm():
    seen = twins(lambda watch: amp(watch, told=True, init_scale=2.0**16, interval=3, steps=40))
    assert 2 < seen.labels("skipped").count("scaler") < 30
    assert seen.alarms == []


@pytest.mark.parametrize("told", SCALERS.values(), ids=SCALERS.keys())
def test_a_scale_that_collapses_is_an_illness_that_is_no_explosion(told):
    def train(watch):
        model = net()
        opt = torch.optim.SGD(model.parameters(), lr=0.1)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
        with watch(model, opt, **({"scaler": scaler} if told else {})) as vitals:

            def step(i):
                x, y = batch()
                opt.zero_grad()
                loss = F.cross_entropy(model(x), y)
                if i > 3:
                    loss = loss * float("inf")
                scaler.scale(loss).backward()
                scaler.step(opt)
                scaler.update()
                return loss.detach()

            loop(step, vitals, 40)
        return model, opt

    seen = twins(train)
    codes = {i.code for i in seen.vitals.incidents}
    assert "TV202" not in codes
    assert seen.vitals.verdict != "healthy"
    if told:
        assert seen.vitals.verdict == "ill"
        assert seen.labels("skipped").count("scaler") == 36


def test_bfloat16_without_a_scaler_is_healthy_and_exact():
    def train(watch):
        model = net()
        opt = torch.optim.AdamW(model.parameters(), lr=1e-2)
        norms = []
        with watch(model, opt) as vitals:

            def step(_):
                x, y = batch()
                with torch.autocast("cpu", torch.bfloat16):
                    loss = F.cross_entropy(model(x), y)
                opt.zero_grad()
                loss.backward()
                norms.append(float(nn.utils.get_total_norm([p.grad for p in model.parameters()])))
                opt.step()
                return loss

            loop(step, vitals, 20)
        return model, opt, norms

    seen = twins(train)
    assert seen.numbers("gradient_norm") == pytest.approx(seen.result[-1], rel=1e-4)
    assert seen.vitals.verdict == "healthy"


@pytest.mark.parametrize("told", SCALERS.values(), ids=SCALERS.keys())
def test_two_optimizers_share_one_scaler(told):
    """The one whose gradients overflow is skipped, the other one steps."""

    def train(watch):
        a, b = net(), net()
        both: Any = nn.ModuleDict({"a": a, "b": b})
        opts = [torch.optim.SGD(m.parameters(), lr=0.1) for m in (a, b)]
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
        norms = []
        with watch(both, opts, **({"scaler": scaler} if told else {})) as vitals:

            def step(i):
                x, y = batch()
                for opt in opts:
                    opt.zero_grad()
                loss = F.cross_entropy(a(x), y) + F.cross_entropy(b(x), y) * (float("inf") if i == 2 else 1)
                scaler.scale(loss).backward()
                flat = torch.cat([p.grad.flatten() for p in both.parameters()]).double()
                norms.append(float(flat.norm()) / scaler.get_scale())
                for opt in opts:
                    scaler.step(opt)
                scaler.update()
                return loss.detach()

            loop(step, vitals, 6)
        return both, opts, norms

    seen = twins(train)
    assert len(seen.snapshots) == 6
    norms = seen.result[-1]
    assert [x for i, x in enumerate(seen.numbers("gradient_norm")) if i != 2] == pytest.approx(
        [x for i, x in enumerate(norms) if i != 2], rel=1e-3
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_parameters_of_other_dtypes(dtype):
    def train(watch):
        model = net().to(dtype)
        opt = torch.optim.SGD(model.parameters(), lr=0.05)
        norms = []
        with watch(model, opt) as vitals:

            def step(_):
                x, y = batch()
                loss = F.cross_entropy(model(x.to(dtype)), y)
                opt.zero_grad()
                loss.backward()
                norms.append(float(torch.cat([p.grad.flatten().double() for p in model.parameters()]).norm()))
                opt.step()
                return loss

            loop(step, vitals, 12)
        return model, opt, norms

    seen = twins(train)
    assert seen.numbers("gradient_norm") == pytest.approx(seen.result[-1], rel=1e-5)
    assert {"update", "activation", "parameter"} <= set(seen.snapshots[-1].tables)


def test_complex_parameters():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.randn(8, 8, dtype=torch.complex64) * 0.3)
            self.head = nn.Linear(8, 3)

        def forward(self, x):
            return self.head((x.to(torch.complex64) @ self.w).abs())

    def train(watch):
        model: Any = Net()
        opt = torch.optim.Adam(model.parameters(), lr=1e-2)
        norms = []
        with watch(model, opt) as vitals:

            def step(_):
                x, y = batch()
                loss = F.cross_entropy(model(x), y)
                opt.zero_grad()
                loss.backward()
                norms.append(
                    float(
                        torch.cat(
                            [
                                torch.view_as_real(p.grad).flatten() if p.is_complex() else p.grad.flatten()
                                for p in model.parameters()
                            ]
                        )
                        .double()
                        .norm()
                    )
                )
                opt.step()
                return loss

            loop(step, vitals, 12)
        return model, opt, norms

    seen = twins(train)
    assert seen.numbers("gradient_norm") == pytest.approx(seen.result[-1], rel=1e-5)
    assert "w" in seen.snapshots[-1]["update"].names
    assert seen.vitals.verdict == "healthy"
