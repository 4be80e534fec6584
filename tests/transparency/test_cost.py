"""What watching may cost a training: nothing kept, and little done in steps that are not due."""

import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import torchvitals
from tests.transparency.twins import EVERY_STEP, loop, twins
from torchvitals import Schedule
from torchvitals.reporters import MemoryReporter


class Operations(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def net(depth):
    return nn.Sequential(*(nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(depth)), nn.Linear(8, 3))


def step_of(model, opt):
    x = torch.randn(16, 8)
    opt.zero_grad()
    loss = F.cross_entropy(model(x), x[:, :3].argmax(1))
    loss.backward()
    opt.step()
    return loss


def test_in_a_step_that_is_not_due_no_more_is_done_for_a_deeper_net():
    def added(depth):
        found = []

        def train(watch):
            model = net(depth)
            opt = torch.optim.SGD(model.parameters(), lr=0.1, foreach=False)
            with watch(model, opt) as vitals:
                loop(lambda _: step_of(model, opt), vitals, 3)
                with Operations() as operations:
                    loop(lambda _: step_of(model, opt), vitals, 1)
            found.append([n for n in operations.names if "detach" not in n and "view" not in n])
            return model, opt

        twins(train, schedule=Schedule(dense=1, every=10**6), diagnostics=["non-finite"])
        return len(found[1]) - len(found[0])

    assert 0 < added(2) == added(12) < 100


def test_no_tensor_of_a_pass_outlives_its_step():
    alive: list[weakref.ref] = []

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(8, 16), nn.Linear(16, 3)

        def forward(self, x):
            h = self.body(x)
            z = self.head(torch.tanh(h))
            alive.extend(weakref.ref(t) for t in (x, h, z))
            return z

    model = Net()
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    with torchvitals.watch(model, opt, reporters=[], schedule=EVERY_STEP, strict=True) as vitals:
        for _ in range(4):
            vitals.step(step_of(model, opt).detach())
            gc.collect()
            assert [ref for ref in alive if ref() is not None] == []
    assert len(alive) >= 12


@pytest.mark.parametrize("same", [True, False], ids=["of-one-model", "of-two-models"])
def test_two_watches_side_by_side_do_not_hear_each_other(same):
    keeps = [MemoryReporter(), MemoryReporter()]

    def train(watch):
        a = net(2)
        b = a if same else net(3)
        opts = [torch.optim.SGD(m.parameters(), lr=0.05) for m in (a, b)]
        watches = [watch(m, o, reporters=[k]) for m, o, k in zip((a, b), opts, keeps, strict=True)]
        for _ in range(4):
            for m, o, v in zip((a, b), opts, watches, strict=True):
                v.step(step_of(m, o))
        for v in watches:
            v.close()
        return a, b, opts

    twins(train)
    if not same:
        for keep, sites in zip(keeps, (5, 7), strict=True):
            assert [len(s["activation"]) for s in keep.snapshots] == [sites] * 4
            assert [s["activation"]["count"][0] for s in keep.snapshots] == [16 * 8] * 4
    else:
        assert [len(k.snapshots) for k in keeps] == [4, 4]
