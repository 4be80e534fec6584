"""torchvitals as the eyes of a training: everything installed, at its defaults, as a user has it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torchvitals
from sweeps.situations.training import Training
from torchvitals.adapters.loop import Vitals
from torchvitals.reporters.memory import MemoryReporter


@contextmanager
def vitals(training: Training, record: MemoryReporter | None = None) -> Iterator[Vitals]:
    """Watch with all built-ins; a mistake of ours raises, since here it would spoil the figures."""
    reporters = [record] if record is not None else []
    with torchvitals.watch(
        training.model, training.optimizers, reporters=reporters, scaler=training.scaler, strict=True
    ) as watching:
        yield watching
