"""Recording of CUDA graphs, by a stand-in that says when one is recorded: there is no such device here."""

from contextlib import contextmanager

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.transparency.twins import loop, twins


class Operations(TorchDispatchMode):
    """Everything that a recording would hold."""

    def __init__(self):
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is not torch.ops.aten.detach.default:  # a handle, for which a device does nothing
            self.names.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.fixture
def recording(monkeypatch):
    @contextmanager
    def record(operations):
        with monkeypatch.context() as patch, operations:
            patch.setattr(torch.cuda, "is_initialized", lambda: True)
            patch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
            yield

    return record


@pytest.mark.parametrize("told", ["outside", "inside"])
def test_nothing_of_ours_is_recorded_and_that_is_said(recording, told):
    def train(watch):
        model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))
        opt = torch.optim.SGD(model.parameters(), lr=0.1)
        operations = Operations()

        def step():
            x = torch.randn(16, 8)
            opt.zero_grad()
            loss = F.cross_entropy(model(x), x[:, :3].argmax(1))
            loss.backward()
            opt.step()
            return loss.detach()

        with watch(model, opt) as vitals:
            loop(lambda _: step(), vitals, 3)
            with recording(operations):
                loss = step()
                if told == "inside":
                    vitals.validation(loss)
                    vitals.gradients_ready()
                    vitals.step(loss)
            loop(lambda _: step(), vitals, 3)
        return model, opt, operations.names

    seen = twins(train)
    assert len(seen.result[-1]) > 20
    assert "CUDA graph" in seen.blind
    assert len(seen.snapshots) == 6
    assert all(len(s["activation"]) == 4 and len(s["gradient"]) == 6 for s in seen.snapshots)
    assert seen.alarms == []


def test_without_a_device_the_question_is_free():
    assert not torch.cuda.is_initialized()
    with pytest.raises(RuntimeError):
        torch.cuda.is_current_stream_capturing()
