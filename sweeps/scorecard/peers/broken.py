"""Whether a package broke the training that it watched."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from sweeps.situations.training import Eyes, Training, plain


@contextmanager
def broken(training: Training, package: str, *marks: str) -> Iterator[list[str]]:
    """What the training raised where the package stands in the traceback, or one of `marks` in the message.

    Trainings may fail by themselves, which is nobody's fault here; what is raised goes on either way.
    """
    complaints: list[str] = []
    iterate = training.iterate or plain

    def watched(training: Training, step: int, eyes: Eyes) -> Tensor | float | None:
        try:
            return iterate(training, step, eyes)
        except Exception as raised:
            through = any(package in frame.filename for frame in traceback.extract_tb(raised.__traceback__))
            if through or any(mark in str(raised) for mark in marks):
                complaints.append(f"{type(raised).__name__}: {raised}")
            raise

    training.iterate = watched
    try:
        yield complaints
    finally:
        training.iterate = iterate
