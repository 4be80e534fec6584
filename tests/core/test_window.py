"""A window is bounded whatever the run's length; without this a long run would fill the memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchvitals.core.errors import FieldError
from torchvitals.core.snapshot import Snapshot, remembered
from torchvitals.core.tables import Table
from torchvitals.core.window import Window
from torchvitals.testing import look


def filled(due: list[bool], *, size: int = 64, head: int = 16) -> Window:
    window = Window(size=size, head=head)
    for step, looked in enumerate(due):
        window = window.add(Snapshot(step, {}, {}, {"gradient": Table("gradient", ())} if looked else {}))
    return window


@given(st.lists(st.booleans(), max_size=120), st.integers(1, 9), st.integers(1, 9))
def test_a_window_keeps_the_first_looks_the_last_looks_and_the_last_steps(due, size, head):
    measured = [step for step, looked in enumerate(due) if looked]
    expected = {*measured[:head], *measured[-size:], *range(max(len(due) - size, 0), len(due))}
    kept = [s.step for s in filled(due, size=size, head=head).snapshots]
    assert kept == sorted(expected)
    assert len(kept) <= head + 2 * size


def test_a_window_of_a_run_of_ten_thousand_steps_is_bounded_and_remembers_its_start():
    window = filled([step < 16 or step % 64 == 0 for step in range(10_000)])
    assert len(window) <= 16 + 2 * 64
    assert [s.step for s in window.looks("gradient")][:16] == list(range(16))
    assert window.latest.step == 9999


def test_validation_losses_outlive_the_steps_between_them():
    window = Window(size=8, head=2)
    for step in range(200):
        window = window.add(Snapshot(step, {"val_loss": 1.0} if step % 20 == 0 else {}))
    told = [s.step for s in window.snapshots if "val_loss" in s.scalars]
    assert told == [0, 20, 40, 60, 80, 100, 120, 140, 160, 180]
    assert len(window) <= 2 + 2 * 8


def test_adding_leaves_the_old_window_as_it_was():
    old = filled([True, False])
    old.add(Snapshot(2))
    assert [s.step for s in old.snapshots] == [0, 1]


def test_looks_are_those_that_hold_every_kind_asked_for():
    window = Window((look(0, ["gradient"]), look(1, ["gradient", "update"]), Snapshot(2)))
    assert [s.step for s in window.looks("gradient")] == [0, 1]
    assert [s.step for s in window.looks("gradient", "update")] == [1]


def test_the_finite_part_of_a_window_leaves_out_a_nan_in_a_table_or_in_the_loss():
    bad = (look(1, ["gradient"], nonfinite=1.0), look(2, ["gradient"], loss=float("nan")))
    window = Window((look(0, ["gradient"]), *bad, look(3, ["gradient"])), size=5, head=2)
    assert [s.step for s in window.finite.snapshots] == [0, 3]
    assert (window.finite.size, window.finite.head) == (5, 2)


@pytest.mark.parametrize(
    ("field", "build"),
    [("size", lambda: Window(size=0)), ("head", lambda: Window(head=0))],
    ids=["size", "head"],
)
def test_a_window_without_room_is_refused(field, build):
    with pytest.raises(FieldError, match=rf"^{field}=0 is not possible\. Give a whole number from 1\.$"):
        build()


@given(st.lists(st.sets(st.sampled_from("abc")), max_size=12), st.sets(st.sampled_from("abc")))
def test_looks_hold_a_table_of_each_of_the_kinds_that_are_asked_for(run, kinds):
    window = Window()
    for step, tables in enumerate(run):
        window = window.add(Snapshot(step, tables={kind: Table(kind, ()) for kind in tables}))
    expected = [step for step, tables in enumerate(run) if kinds <= tables]
    assert [s.step for s in window.looks(*sorted(kinds))] == expected


def test_what_was_read_of_a_window_is_read_once_and_anew_of_the_next_one():
    asked = []

    @remembered
    def length(window: Window, more: int = 0) -> int:
        asked.append(len(window))
        return len(window) + more

    window = filled([True])
    assert [length(window), length(window), length(window, 2), length(window, more=2)] == [1, 1, 3, 3]
    assert length(window.add(look(1, ["gradient"]))) == 2
    assert asked == [1, 1, 1, 2]


def test_a_window_without_a_nan_is_its_own_finite_one():
    assert (window := filled([True, False])).finite is window
    assert len(window.add(Snapshot(2, {"loss": float("nan")})).finite) == 2
