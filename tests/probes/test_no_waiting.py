"""Nothing waits for a device: a training on the meta device, where whoever reads a number raises."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import torchvitals
from torchvitals import Schedule
from torchvitals.probes import measurement


class Net(nn.Module):
    """Whatever has a probe of its own: a batch norm, bounded and silent units, a recurrent layer."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.hidden = nn.Sequential(*(nn.Sequential(nn.Linear(288, 288), nn.ReLU()) for _ in range(depth)))
        self.rnn = nn.LSTM(288, 10, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        h = self.hidden(torch.sigmoid(self.norm(self.conv(x))).flatten(1))
        return self.rnn(h[:, None].expand(-1, 20, -1))[0][:, -1]


VIEWS = ("aten::detach", "aten::view", "aten::alias", "aten::select.int", "aten::unsqueeze")


class Counting(TorchDispatchMode):
    """Counts what is asked of the device: views it never hears of."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.name() not in VIEWS:
            self.calls[func.name()] += 1
        return func(*args, **(kwargs or {}))


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The copies to the host, as the number of parts of each; zeros arrive."""
    made: list[int] = []

    class Copy(measurement._Copy):
        def __init__(self, parts: Any) -> None:
            self._layout = [(part.shape[0], part.dtype) for part in parts]
            packed = torch.cat([part.contiguous().view(torch.uint8) for part in parts])
            self._host, self._event = torch.zeros(packed.shape, dtype=torch.uint8), None
            made.append(len(parts))

    monkeypatch.setattr(measurement, "_Copy", Copy)
    return made


def train(steps: int, *, depth: int = 2, schedule: Schedule | None) -> list[Counter[str]]:
    """What each step asked of the device; unwatched without a schedule."""
    model = Net(depth).to("meta")
    optimizer = torch.optim.Adam(model.parameters(), foreach=False)
    # A diagnostic that finds nothing in zeros, so that no step is due but by the schedule.
    watching = schedule and torchvitals.watch(
        model, optimizer, reporters=[], strict=True, schedule=schedule, diagnostics=["non-finite"]
    )
    counts = []
    for _ in range(steps):
        x, y = torch.zeros(4, 3, 8, 8, device="meta"), torch.zeros(4, dtype=torch.long, device="meta")
        with Counting() as counting:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            if watching:
                watching.step(loss)
        counts.append(counting.calls)
    if watching and schedule:
        assert watching.coverage.looks == sum(map(schedule.due, range(steps)))
        watching.close()
    return counts


def ours(steps: int, *, depth: int, schedule: Schedule) -> list[Counter[str]]:
    bare = train(steps, depth=depth, schedule=None)
    watched = train(steps, depth=depth, schedule=schedule)
    return [calls - without for calls, without in zip(watched, bare, strict=True)]


def test_all_probes_measure_without_reading_a_number(copies):
    model = Net(2).to("meta")
    optimizer = torch.optim.Adam(model.parameters(), foreach=False)
    schedule = Schedule(dense=3, every=4)
    with torchvitals.watch(model, optimizer, reporters=[], strict=True, schedule=schedule) as vitals:
        for _ in range(8):
            optimizer.zero_grad()
            x, y = torch.zeros(4, 3, 8, 8, device="meta"), torch.zeros(4, dtype=torch.long, device="meta")
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            vitals.step(loss)
    kinds = {"activation", "activation_gradient", "gradient", "loss", "memory", "normalisation", "parameter"}
    kinds |= {"saturation", "silence", "symmetry", "update", "wiring", "witness", "mixing", "features"}
    assert kinds <= set(vitals.coverage.measured)
    assert len(copies) == 8  # one a step, whatever was measured


def test_a_step_that_is_not_due_asks_as_little_of_many_parameters_as_of_few(copies):
    seldom = Schedule(dense=1, every=1000)
    few, many = (ours(4, depth=depth, schedule=seldom)[-1] for depth in (1, 12))
    assert few.total() == many.total()
    assert 0 < few.total() < 80
    assert copies


def test_reading_a_number_on_that_device_raises():
    with pytest.raises(RuntimeError):
        torch.zeros((), device="meta").item()
    with pytest.raises(NotImplementedError):
        torch.zeros(3, device="meta").cpu()
    with pytest.raises(TypeError):
        np.asarray(torch.zeros(3, device="meta"))
