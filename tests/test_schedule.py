"""Due steps are dense at the start and never far apart; without this an illness could be born unseen."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchvitals.core.errors import FieldError
from torchvitals.schedule import Schedule


def due(schedule: Schedule, steps: int) -> list[int]:
    return [step for step in range(steps) if schedule.due(step)]


def test_the_default_looks_at_sixteen_steps_and_then_ever_more_rarely():
    assert due(Schedule(), 200) == [
        *range(16),
        *range(16, 32, 2),
        *range(32, 64, 4),
        *range(64, 128, 8),
        *range(128, 200, 16),
    ]


@given(st.integers(0, 40), st.integers(1, 200))
def test_every_dense_step_is_due(dense, every):
    assert due(Schedule(dense=dense, every=every), dense) == list(range(dense))


@given(st.integers(0, 40), st.integers(1, 200), st.integers(0, 10_000))
def test_no_stretch_of_twice_the_widest_gap_goes_unseen(dense, every, start):
    schedule = Schedule(dense=dense, every=every)
    assert any(schedule.due(step) for step in range(start, start + 2 * every))


@given(st.integers(2, 40), st.integers(1, 200))
def test_gaps_never_shrink_much_and_never_exceed_the_widest(dense, every):
    steps = due(Schedule(dense=dense, every=every), 2000)
    assert max(later - earlier for earlier, later in pairwise(steps)) <= max(every, 1) * 2


@given(st.integers(2, 40), st.integers(8, 12))
def test_looks_grow_with_the_logarithm_of_the_run(dense, power):
    looks = len(due(Schedule(dense=dense, every=2**30), 2**power))
    assert looks <= dense * (2 + math.log2(2**power))


def test_every_step_can_be_due():
    assert due(Schedule(dense=0, every=1), 50) == list(range(50))


def test_after_the_dense_part_the_widest_gap_holds_for_ever():
    steps = due(Schedule(dense=16, every=64), 100_000)[-100:]
    assert {later - earlier for earlier, later in pairwise(steps)} == {64}


def test_two_ranks_agree_without_talking():
    assert due(Schedule(dense=3, every=10), 500) == due(Schedule(dense=3, every=10), 500)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        pytest.param(
            lambda: Schedule(dense=-1),
            r"^Schedule\.dense=-1 is not possible\. Give a whole number from 0\.$",
            id="dense",
        ),
        pytest.param(
            lambda: Schedule(every=0),
            r"^Schedule\.every=0 is not possible\. Give a whole number from 1\.$",
            id="every",
        ),
    ],
)
def test_an_impossible_schedule_is_refused(build, text):
    with pytest.raises(FieldError, match=text):
        build()
