"""Healthy controls are what they claim to be: named, described, and the same again from the same seed."""

import re
from collections.abc import Iterator

import pytest
import torch

from sweeps.situations.catalogue import situations
from sweeps.situations.situation import Situation
from sweeps.situations.training import Trained, run

CONTROLS = [situation for situation in situations().values() if situation.healthy]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _begin(situation: Situation, seed: int) -> Trained:
    training = situation.build(None, seed)
    training.steps = 3
    training.score = lambda _model: 0.0
    return run(training)


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.name)
def test_the_same_seed_trains_the_same(control: Situation) -> None:
    first, again = _begin(control, 1), _begin(control, 1)

    assert first.error == ""
    assert torch.tensor(first.losses).isfinite().all()
    assert first.losses == again.losses


def test_controls_say_what_they_are() -> None:
    for control in CONTROLS:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", control.name)
        assert control.summary.endswith("."), control.name
        assert control.source, control.name
        assert not control.levels, control.name


def test_there_are_controls_for_either_half() -> None:
    halves = [control.split for control in CONTROLS]

    assert len(CONTROLS) >= 56
    assert min(halves.count("tune"), halves.count("test")) >= 20


def test_another_seed_trains_otherwise() -> None:
    control = situations()["plain-mlp"]

    assert _begin(control, 1).losses != _begin(control, 2).losses
