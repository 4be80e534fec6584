"""Without this file tests that run side by side would fight for the cores."""

import sys
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

# A machine that is busy with the other tests is slow, not wrong.
settings.register_profile("torchvitals", deadline=None)
settings.load_profile("torchvitals")


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Networks this small are fastest on one thread, above all when tests run side by side."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def nothing_is_compiled() -> Iterator[None]:
    """What one test has compiled would change what is seen of the losses of all that follow."""
    yield
    if "torch._dynamo" in sys.modules:
        torch._dynamo.reset()
