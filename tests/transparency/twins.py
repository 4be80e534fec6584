"""The same training twice, without and with torchvitals, and the demand that nobody could tell them apart."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_flatten

import torchvitals
from torchvitals import Schedule, Snapshot
from torchvitals.reporters import MemoryReporter

EVERY_STEP = Schedule(dense=0, every=1)
GAPS = Schedule(dense=2, every=4)


class Nobody:
    """Stands in for `Vitals` in the training that is not watched."""

    def step(self, loss: Any = None) -> None: ...
    def validation(self, loss: Any) -> None: ...
    def gradients_ready(self) -> None: ...
    def close(self) -> None: ...
    def __enter__(self) -> "Nobody":
        return self

    def __exit__(self, *_: object) -> None: ...


class Seen:
    """What the watch of the second training has seen."""

    def __init__(self) -> None:
        self.keep = MemoryReporter()
        self.vitals: torchvitals.Vitals
        self.result: Any = None
        """what the training returned"""

    @property
    def snapshots(self) -> list[Snapshot]:
        return self.keep.snapshots

    @property
    def blind(self) -> str:
        return " ".join(self.vitals.coverage.blind)

    @property
    def alarms(self) -> list[str]:
        """Incidents that a healthy training must not have."""
        return [str(i) for i in self.vitals.incidents if i.severity > torchvitals.Severity.INFO]

    def labels(self, key: str) -> list[str | None]:
        return [s.labels.get(key) for s in self.snapshots]

    def numbers(self, key: str) -> list[float | None]:
        return [s.scalars.get(key) for s in self.snapshots]


def twins(train: Callable[[Callable[..., Any]], Any], **options: Any) -> Seen:
    """Run `train(watch)` twice; what it returns (modules, optimizers, tensors, in any nesting), the gradients
    and the states of all generators of random numbers must be bit for bit the same.
    """
    seen = Seen()

    def nobody(*_: Any, **__: Any) -> Nobody:
        return Nobody()

    def watch(*args: Any, **given: Any) -> torchvitals.Vitals:
        chosen = {"schedule": EVERY_STEP, "strict": True, "reporters": [seen.keep], **options, **given}
        seen.vitals = torchvitals.watch(*args, **chosen)
        return seen.vitals

    bare, ours = _run(train, nobody), _run(train, watch)
    seen.result = ours[0]
    assert_same(bare, ours)
    return seen


def _run(train: Callable[[Callable[..., Any]], Any], watch: Callable[..., Any]) -> tuple[Any, ...]:
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the old generator is the one that others share
    made = train(watch)
    return made, torch.get_rng_state(), random.getstate(), str(np.random.get_state())  # noqa: NPY002


def assert_same(bare: Any, ours: Any) -> None:
    theirs, mine = _flat(bare), _flat(ours)
    assert len(theirs) == len(mine)
    for a, b in zip(theirs, mine, strict=True):
        if isinstance(a, torch.Tensor):
            assert a.dtype == b.dtype
            assert _bits(a) == _bits(b)
        else:
            assert repr(a) == repr(b)  # NaN is itself here


def _bits(x: torch.Tensor) -> bytes:
    x = x.detach()
    return (x.to_dense() if x.is_sparse else x).contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _flat(value: Any) -> list[Any]:
    leaves, _ = tree_flatten(value)
    found: list[Any] = []
    for leaf in leaves:
        if isinstance(leaf, nn.Module):
            found += [*leaf.state_dict().values(), *(p.grad for p in leaf.parameters())]
        elif isinstance(leaf, torch.optim.Optimizer):
            found += _flat(leaf.state_dict())
        else:
            found.append(leaf)
    return found


def loop(step: Callable[[int], Any], vitals: Any, steps: int = 6) -> None:
    """`step(i)` trains once and gives the loss."""
    for i in range(steps):
        vitals.step(step(i))
