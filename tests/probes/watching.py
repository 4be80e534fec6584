"""What the tests of probes share: a diagnostic that needs any kinds, and a reporter that keeps snapshots."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

import torchvitals
from torchvitals import Diagnostic, Schedule
from torchvitals.reporters import MemoryReporter

EVERY_STEP = Schedule(dense=0, every=1)


def needing(*kinds):
    """A diagnostic that finds nothing, so that these kinds are measured."""

    class Needy(Diagnostic):
        code, name, needs = "XX9", "needy", frozenset(kinds)

        def diagnose(self, window):
            return iter(())

    return Needy()


@contextmanager
def watched(model, optimizers, *kinds, **options) -> Iterator[Any]:
    """The watch with `snapshots`, filled while it runs."""
    keep = MemoryReporter()
    options = {"schedule": EVERY_STEP, "strict": True, **options}
    vitals = torchvitals.watch(model, optimizers, diagnostics=[needing(*kinds)], reporters=[keep], **options)
    vitals.__dict__["snapshots"] = keep.snapshots
    with vitals:
        yield vitals


def row(table, name):
    """One row of a table as a dictionary."""
    place = table.index(name)
    return {key: column[place] for key, column in table.columns.items()}


def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))


def sgd(model, lr=0.01):
    return torch.optim.SGD(model.parameters(), lr=lr)
