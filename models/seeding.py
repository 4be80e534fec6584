"""Without this file two streams of randomness could share a state, and one would change the other."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from models.errors import require_count


def _mixed(seed: int, stream: tuple[str | int, ...]) -> int:
    require_count("seed", value=seed, minimum=0)
    words = (part if isinstance(part, int) else int.from_bytes(part.encode()) for part in stream)
    return int(np.random.SeedSequence((seed, *words)).generate_state(1, np.uint64)[0])


def generator(seed: int, *stream: str | int) -> torch.Generator:
    """A CPU generator of its own for one stream, such as `generator(0, "layer", 3)`.

    Equal arguments give equal numbers; any other seed or stream name gives independent ones, and the global
    generator is neither read nor moved. Raises ValueError for a negative seed.
    """
    return torch.Generator().manual_seed(_mixed(seed, stream))


@contextmanager
def seeded(seed: int, *stream: str | int) -> Iterator[None]:
    """Let code that draws from the global CPU generator draw from its own stream; then restore the state."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(_mixed(seed, stream))
        yield
