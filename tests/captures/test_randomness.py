"""States of random generators come back as they were, also of those that are seldom asked."""

import random

import numpy as np
import pytest
import torch

from torchvitals.captures.randomness import CHECK_EVERY, Taker, arrays, restore

CPU = torch.device("cpu")


def drawn():
    return torch.rand(2).tolist(), random.gauss(0, 1), np.random.randn(3).tolist()  # noqa: NPY002


@pytest.mark.parametrize("before", [0, 1])
def test_what_is_drawn_after_the_states_were_put_back_is_what_was_drawn_before(before):
    for _ in range(before):  # an odd number of normal numbers leaves one waiting
        drawn()
    states = arrays(Taker().take())
    first = drawn()
    restore(states, device=CPU)
    assert drawn() == first


def test_a_generator_that_is_used_at_every_step_is_known_at_every_step():
    taker, states, first = Taker(), {}, None
    for _ in range(2 * CHECK_EVERY):
        states = taker.take()
        first = drawn()
    assert taker.doubtful() == []
    restore(arrays(states), device=CPU)
    assert drawn() == first


def test_a_generator_that_nobody_uses_is_known_without_being_asked():
    taker, states = Taker(), {}
    for _ in range(CHECK_EVERY // 2):
        states = taker.take()
    assert taker.doubtful() == []
    expected = drawn()
    restore(arrays(states), device=CPU)
    assert drawn() == expected


@pytest.mark.parametrize("more", [0, CHECK_EVERY // 2 + 2], ids=["at-once", "after-a-check"])
def test_the_first_use_after_a_long_time_is_doubtful_and_later_uses_are_known(more):
    taker, states, first = Taker(), {}, None
    for _ in range(CHECK_EVERY // 2):
        taker.take()
    for _ in range(1 + more):
        random.random()
        taker.take()
    assert taker.doubtful() == ["python"]
    for _ in range(CHECK_EVERY):
        states, first = taker.take(), random.random()
    assert taker.doubtful() == []
    restore(arrays(states), device=CPU)
    assert random.random() == first
