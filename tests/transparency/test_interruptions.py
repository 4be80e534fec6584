"""Passes that end in the middle, and trainings in several threads."""

import sys
import threading

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import _get_current_function_mode_stack as modes

import torchvitals
from tests.transparency.twins import EVERY_STEP, loop, twins
from torchvitals.reporters import MemoryReporter


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(8, 16), nn.ReLU()), nn.Linear(16, 3)
        self.error: type[BaseException] | None = None

    def forward(self, x):
        h = torch.tanh(self.body(x))
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return self.head(h)


def batch(n=16):
    x = torch.randn(n, 8)
    return x, x[:, :3].argmax(1)


def step_of(model, opt):
    x, y = batch()
    opt.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    opt.step()
    return loss


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError], ids=lambda e: e.__name__)
def test_a_pass_that_is_interrupted_leaves_no_mode_and_the_training_goes_on(error):
    """As a loop does that skips a batch for which the memory does not suffice."""

    def train(watch):
        model = Net()
        opt = torch.optim.SGD(model.parameters(), lr=0.1)
        with watch(model, opt) as vitals:
            for i in range(12):
                if i in (2, 5):
                    model.error = error
                    try:
                        step_of(model, opt)
                    except error:
                        opt.zero_grad()
                    assert modes() == []
                    assert not vitals_is_inside(vitals)
                    continue
                loop(lambda _: step_of(model, opt), vitals, 1)
        return model, opt

    seen = twins(train)
    assert len(seen.snapshots) == 10
    for snapshot in seen.snapshots:
        assert snapshot["activation"].names == ("body.0", "body.1", "tanh", "head")
    assert seen.snapshots[-1]["activation"]["count"].tolist() == [256, 256, 256, 48]
    assert seen.vitals.verdict == "healthy"


def vitals_is_inside(vitals):
    monitor = getattr(vitals, "_monitor", None)
    return monitor is not None and any(
        probe._tracer._follower._stack for probe in monitor._probes if hasattr(probe, "_tracer")
    )


def test_a_kept_traceback_keeps_the_mode_until_the_model_runs_again():
    """A notebook keeps the last traceback, and with it the frames."""
    model = Net()
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    keep = MemoryReporter()
    kept = None
    with torchvitals.watch(model, opt, reporters=[keep], schedule=EVERY_STEP, strict=True) as vitals:
        model.error = KeyboardInterrupt
        try:
            step_of(model, opt)
        except KeyboardInterrupt:
            kept = sys.exc_info()
        model.eval()
        with torch.no_grad():
            model(batch()[0])
        assert modes() == []
        model.train()
        vitals.step(step_of(model, opt))
    del kept
    assert keep.snapshots[0]["activation"].names == ("body.0", "body.1", "tanh", "head")
    assert modes() == []


def test_a_training_in_another_thread_is_watched_as_in_this_one():
    def train(watch):
        model = Net()
        opt = torch.optim.SGD(model.parameters(), lr=0.1)
        failed = []
        with watch(model, opt) as vitals:

            def work():
                try:
                    loop(lambda _: step_of(model, opt), vitals, 20)
                except BaseException as error:
                    failed.append(error)

            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        assert failed == []
        return model, opt

    seen = twins(train)
    assert seen.snapshots[-1]["activation"].names == ("body.0", "body.1", "tanh", "head")
    assert seen.vitals.verdict == "healthy"


def test_of_passes_in_several_threads_those_of_one_are_measured():
    """The second thread enters while the first is inside, and is still there when the first has left."""
    first_in, second_in, first_out = (threading.Event() for _ in range(3))

    class Gate(nn.Module):
        def forward(self, x):
            if threading.current_thread().name == "second":
                second_in.set()
                assert first_out.wait(10)
            elif not first_out.is_set():
                first_in.set()
                assert second_in.wait(10)
            return x

    model = nn.Sequential(nn.Linear(8, 8), Gate(), nn.ReLU(), nn.Linear(8, 3))
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    keep = MemoryReporter()
    outs = {}
    x, y = batch()

    def second():
        assert first_in.wait(10)
        outs["second"] = model(x[:4])

    with torchvitals.watch(model, opt, reporters=[keep], schedule=EVERY_STEP, strict=True) as vitals:
        thread = threading.Thread(target=second, name="second")
        thread.start()
        loss = F.cross_entropy(model(x), y)
        first_out.set()
        thread.join()
        (loss + outs["second"].sum()).backward()
        opt.step()
        vitals.step(loss)
    assert keep.snapshots[0]["activation"].names == ("0", "2", "3")
    assert set(keep.snapshots[0]["activation"]["count"]) == {128, 48}
    assert "several threads" in " ".join(vitals.coverage.blind)
    assert modes() == []


class Rows(torch.utils.data.Dataset):
    def __init__(self):
        draw = torch.Generator().manual_seed(1)
        self.x = torch.randn(64, 8, generator=draw)

    def __len__(self):
        return 64

    def __getitem__(self, i):
        return self.x[i], self.x[i, :3].argmax()


def test_batches_of_worker_processes():
    def train(watch):
        model = Net()
        opt = torch.optim.SGD(model.parameters(), lr=0.1)
        loader = torch.utils.data.DataLoader(Rows(), batch_size=16, shuffle=True, num_workers=2)
        with watch(model, opt) as vitals:
            for _ in range(3):
                for x, y in loader:
                    opt.zero_grad()
                    loss = F.cross_entropy(model(x), y)
                    loss.backward()
                    opt.step()
                    vitals.step(loss)
        return model, opt

    seen = twins(train)
    assert len(seen.snapshots) == 12
    assert seen.alarms == []
