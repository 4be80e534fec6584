"""Schedules against their formulae, and the textbook's momentum by hand."""

import copy
import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim import SGD

from models.schedules import constant, cosine, step
from tests.models.conftest import group


def _rates(make, *, total_steps: int = 20, **options: object) -> list[float]:
    optimizer = SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    scheduler = make(optimizer, total_steps=total_steps, **options)
    rates = []
    for _ in range(total_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_constant_stays():
    assert _rates(constant) == [2.0] * 20


def test_cosine_is_half_a_cosine():
    assert _rates(cosine) == pytest.approx([1 + math.cos(math.pi * i / 20) for i in range(20)])


def test_warm_up_rises_linearly_to_the_full_rate_and_never_is_zero():
    rates = _rates(cosine, warmup=0.2)
    assert rates[:5] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0])


def test_steps_come_at_shares_of_the_run():
    assert _rates(step) == pytest.approx([2.0] * 10 + [0.2] * 5 + [0.02] * 5)


@settings(deadline=None, max_examples=30)
@given(total_steps=st.integers(1, 60), warmup=st.floats(0, 0.9), floor=st.floats(0, 0.9))
def test_cosine_stays_between_floor_and_full_rate_and_falls_after_the_rise(total_steps, warmup, floor):
    rates = _rates(cosine, total_steps=total_steps, warmup=warmup, floor=floor)
    after = rates[round(warmup * total_steps) :]
    assert all(0 < rate <= 2.0 + 1e-9 for rate in rates)
    assert after == sorted(after, reverse=True)
    assert all(rate >= 2.0 * floor - 1e-9 for rate in after)


@pytest.mark.parametrize("make", [constant, cosine, step])
def test_schedules_survive_pickling(make):
    scheduler = make(SGD([nn.Parameter(torch.zeros(1))], lr=2.0), total_steps=5)
    assert pickle.loads(pickle.dumps(scheduler)).get_last_lr() == [2.0]


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (cosine, {"warmup": 1.0}, r"^warmup: 1\.0 is not allowed\. Choices: a number in \[0, 1\)\.$"),
        (cosine, {"floor": -0.1}, r"^floor: -0\.1 "),
        (step, {"milestones": (0.5, 1.5)}, r"^milestones: 1\.5 "),
        (step, {"factor": 0.0}, r"^factor: 0\.0 "),
        (constant, {"total_steps": 0}, r"^total_steps: 0 "),
    ],
)
def test_impossible_schedules_are_refused(make, options, message):
    with pytest.raises(ValueError, match=message):
        _rates(make, **options)


def test_textbook_momentum_averages_gradients_from_the_first_one_on():
    options = {
        key: value for key, value in group("optimizer", "momentum_textbook").items() if str(key)[0] != "_"
    }
    weight = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = SGD([weight], **{str(key): value for key, value in options.items()})
    by_hand, velocity = copy.deepcopy(weight.data), None
    for _ in range(10):
        gradient = 4 * by_hand**3
        velocity = gradient if velocity is None else 0.9 * velocity + 0.1 * gradient
        by_hand = by_hand - options["lr"] * velocity
        optimizer.zero_grad()
        weight.pow(4).sum().backward()
        optimizer.step()
    assert torch.allclose(weight.data, by_hand)
