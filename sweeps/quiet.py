"""Without this file every run would repeat Lightning's advice, and a sweep's table would drown in it."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

ADVICE = (
    r".*does not have many workers.*",
    r".*is smaller than the logging interval.*",
    r".*`isinstance\(treespec, LeafSpec\)` is deprecated.*",
    r".*Checkpoint directory .* exists and is not empty.*",
    r".*GPU available but not used.*",
    r"Experiment logs directory .* exists and is not empty.*",
)
"""What Lightning warns about, that a small network in memory does on purpose."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's known advice and its notes on the hardware to itself; any other warning passes."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for message in ADVICE:
            warnings.filterwarnings("ignore", message=message)
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
