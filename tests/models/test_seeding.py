"""Streams of randomness: reproducible, independent, invisible to the global generator."""

import pytest
import torch

from models.seeding import generator, seeded


def _draw(noise: torch.Generator) -> torch.Tensor:
    return torch.randn(8, generator=noise)


def test_equal_seed_and_stream_give_equal_numbers():
    assert torch.equal(_draw(generator(0, "layer", 3)), _draw(generator(0, "layer", 3)))


@pytest.mark.parametrize("other", [(1, "layer", 3), (0, "layer", 4), (0, "split", 3), (0, "layer")])
def test_another_seed_or_stream_gives_other_numbers(other):
    assert not torch.equal(_draw(generator(0, "layer", 3)), _draw(generator(*other)))


def test_seeded_block_restores_the_global_generator():
    torch.manual_seed(5)
    expected = torch.randn(4)
    torch.manual_seed(5)
    with seeded(0, "network"):
        torch.randn(100)
    assert torch.equal(torch.randn(4), expected)


def test_seeded_block_does_not_depend_on_the_global_generator():
    draws = []
    for state in (1, 2):
        torch.manual_seed(state)
        with seeded(0, "network"):
            draws.append(torch.randn(4))
    assert torch.equal(*draws)


def test_negative_seed_is_refused():
    with pytest.raises(ValueError, match=r"^seed: -1 is not allowed\. Choices: an integer of at least 0\.$"):
        generator(-1)
