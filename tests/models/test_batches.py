"""Batches: each example once a pass, orders from their own generator, shares of several processes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.data.batches import Batches, Examples
from models.seeding import generator


def _counted(count: int) -> Examples:
    return Examples(torch.arange(count).unsqueeze(1), torch.arange(count))


@given(count=st.integers(1, 50), batch_size=st.integers(1, 60))
def test_a_pass_shows_every_example_once(count, batch_size):
    batches = Batches(_counted(count), batch_size=batch_size, order=generator(0))
    seen = torch.cat([y for _, y in batches])
    assert seen.sort().values.tolist() == list(range(count))
    assert len(batches) == len(list(batches))


@given(count=st.integers(1, 50), batch_size=st.integers(1, 60))
def test_dropping_the_last_leaves_only_full_batches(count, batch_size):
    batches = list(Batches(_counted(count), batch_size=batch_size, drop_last=True))
    assert [len(y) for _, y in batches] == [batch_size] * (count // batch_size)


@given(count=st.integers(1, 50), world_size=st.integers(1, 5))
def test_processes_share_no_example_and_take_equal_parts(count, world_size):
    parts = [
        [
            int(y)
            for _, ys in Batches(
                _counted(count), batch_size=3, order=generator(0), rank=rank, world_size=world_size
            )
            for y in ys
        ]
        for rank in range(world_size)
    ]
    everything = [y for part in parts for y in part]
    assert len(everything) == len(set(everything)) == count - count % world_size
    assert len({len(part) for part in parts}) == 1


def test_inputs_stay_with_their_targets():
    assert all(
        torch.equal(x.squeeze(1), y) for x, y in Batches(_counted(20), batch_size=6, order=generator(0))
    )


def test_passes_differ_in_order_and_a_new_generator_repeats_them():
    batches = Batches(_counted(20), batch_size=20, order=generator(0))
    again = Batches(_counted(20), batch_size=20, order=generator(0))
    first, second = ([y.tolist() for _, y in batches] for _ in range(2))
    assert first != second
    assert [y.tolist() for _, y in again] == first


def test_without_an_order_examples_come_as_they_are():
    assert [y.tolist() for _, y in Batches(_counted(5), batch_size=2)] == [[0, 1], [2, 3], [4]]


def test_batch_size_zero_is_refused():
    with pytest.raises(
        ValueError, match=r"^batch_size: 0 is not allowed\. Choices: an integer of at least 1\.$"
    ):
        Batches(_counted(5), batch_size=0)
