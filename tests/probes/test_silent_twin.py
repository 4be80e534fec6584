"""Passes of a copy of the model leave inputs, generators of random numbers and memory to the user."""

import functools
import gc
import random

import numpy as np
import pytest
import torch
from torch import nn

from tests.probes.test_mixing import Through, mixing
from tests.probes.watching import sgd, watched
from torchvitals.probes.copies import alone, flipped, fresh
from torchvitals.probes.silenttwin import Twin


class Writes(nn.Module):
    """Changes whatever it is given."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x, seen, by, generator):
        x.mul_(0.9)
        by["scale"].mul_(0.5)
        seen.append(x.sum())
        by["calls"] = by.get("calls", 0) + 1
        return self.linear(x) + torch.rand(1, generator=generator)


def test_what_the_model_is_given_is_as_it_left_it():
    x, seen, by, generator = torch.ones(8, 4), [], {"scale": torch.ones(())}, torch.Generator()
    generator.manual_seed(0)
    table, coverage = mixing(Writes(), x, seen, by, generator, steps=1)
    assert table is not None, coverage
    assert torch.equal(x, torch.ones(8, 4) * 0.9)
    assert len(seen) == by["calls"] == 1
    assert by["scale"] == 0.5
    expected = torch.Generator().manual_seed(0)
    torch.rand(1, generator=expected)
    assert torch.equal(generator.get_state(), expected.get_state())


@pytest.mark.parametrize("change", [fresh, lambda v: alone(v, 1), flipped])
def test_copies_share_nothing_with_the_user_but_what_was_one_stays_one(change):
    x, number, rows = torch.randn(3, 2), torch.ones(()), [torch.randn(3, 2)]
    (a, b, c, d), kwargs = change(((x, x, number, rows), {"rows": rows}))
    assert a is b
    assert d is kwargs["rows"]
    mine, theirs = {t.data_ptr() for t in (a, c, *d)}, {t.data_ptr() for t in (x, number, *rows)}
    assert not mine & theirs
    assert d is not rows


TORCH, NUMPY, PYTHON = torch.Generator(), np.random.default_rng(), random.Random()
OLD = np.random.RandomState()
DRAW = NUMPY.random


def seed_all():
    TORCH.manual_seed(0)
    NUMPY.bit_generator.state = np.random.default_rng(0).bit_generator.state
    OLD.seed(0)
    PYTHON.seed(0)


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.own, self.python = torch.Generator().manual_seed(0), random.Random(0)


class FromTorch(Base):
    def forward(self, x):
        return self.linear(x) * torch.rand(1, generator=TORCH)


class FromNumpy(Base):
    def forward(self, x):
        return self.linear(x) * NUMPY.random()


class FromOldNumpy(Base):
    def forward(self, x):
        return self.linear(x) * OLD.rand()


class FromMethod(Base):
    def forward(self, x):
        return self.linear(x) * DRAW()


class InHelper(Base):
    def forward(self, x):
        return self._noisy(self.linear(x))

    def _noisy(self, h):
        return torch.stack([row * PYTHON.random() for row in h])


class OfClass(Base):
    rng = PYTHON

    def forward(self, x):
        return self.linear(x) * self.rng.random()


class AsDefault(Base):
    def forward(self, x, generator=TORCH):
        return self.linear(x) * torch.rand(1, generator=generator)


class Kept(Base):
    def __init__(self):
        super().__init__()
        self.draw = PYTHON.random  # a method of C, which copies share

    def forward(self, x):
        return self.linear(x) * self.draw()


class Own(Base):
    def forward(self, x):
        return self.linear(x) * torch.rand(1, generator=self.own) * self.python.random() * random.random()


def in_closure():
    generator = TORCH

    class Closure(Base):
        def forward(self, x):
            return self.linear(x) * torch.rand(1, generator=generator)

    return Closure()


def in_function():
    return Through(functools.partial(lambda g, h: h * torch.rand(1, generator=g), TORCH))


SHARING = [FromTorch, FromNumpy, FromOldNumpy, FromMethod, InHelper, OfClass, AsDefault, Kept]


def train(make, kind):
    torch.manual_seed(0)
    random.seed(0)
    seed_all()
    model = make()
    optimizer, x = sgd(model), torch.randn(8, 4)
    with watched(model, optimizer, kind) as vitals:
        for _ in range(3):
            model(x).square().sum().backward()
            optimizer.step()
            vitals.step()
    return [t.tolist() for t in model.state_dict().values()], str(vitals.coverage), vitals.snapshots[0]


@pytest.mark.parametrize("make", [*SHARING, in_closure, in_function, Own], ids=lambda m: m.__name__)
def test_a_generator_that_a_copy_would_share_is_not_advanced(make):
    weights, coverage, look = train(make, "mixing")
    assert weights == train(make, "gradient")[0]
    assert ("mixing" in look) == (make is Own)
    assert ("a random generator" in coverage) == (make is not Own)


def test_no_output_of_a_module_is_kept_whole():
    rows, width, alive = 32, 16, []

    class Counts(nn.Module):
        def forward(self, x):
            gc.collect()
            tensors = [o for o in gc.get_objects() if type(o) is torch.Tensor]
            alive.append(sum(o.shape == (rows, width) for o in tensors))
            return x

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, width), *(nn.Linear(width, width) for _ in range(5)), Counts())
    table, _ = mixing(model, torch.randn(rows, 4), steps=1)
    assert table is not None
    assert len(alive) == 4  # the user's pass, two with the same input, and one with a sample alone
    # The input of the last module, and while the model is asked again, what it gave before.
    assert max(alive[1:]) <= alive[0] + 1


def test_parts_hold_a_row_in_memory_of_its_own():
    _, parts = Twin(nn.Sequential(nn.Linear(4, 16), nn.ReLU()), 8, 3).parts(((torch.randn(8, 4),), {}))
    assert list(parts) == ["0", "1"]
    for part in parts.values():
        assert part.shape == (8, 16)
        assert part.row.untyped_storage().nbytes() == 16 * 8
