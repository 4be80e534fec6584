"""The faults of initialisation, activations, outputs, losses and data: what holds for each of them."""

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import sweeps.situations.faults as package
from sweeps.situations.catalogue import situations
from sweeps.situations.situation import Level, Situation
from sweeps.situations.training import Training, run

THEMES = ("initialisation", "activations", "outputs", "losses", "data_")
HERE = Path(package.__file__).parent
MODULES = sorted(f.stem for f in HERE.glob("*.py") if f.stem.startswith(THEMES))
OURS = [s for s in situations().values() if s.build.__module__.rpartition(".")[2] in MODULES]


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def losses(training: Training, steps: int = 3) -> tuple[float, ...]:
    """Those of its first steps, and the validation loss behind them."""
    done = run(replace(training, steps=steps, score=lambda _model: 0.0))
    assert not done.error
    told = () if training.validate is None else (training.validate(training.model),)
    return (*done.losses, *told)


def same(ours: tuple[float, ...], theirs: tuple[float, ...]) -> bool:
    return len(ours) == len(theirs) and all(
        a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(ours, theirs, strict=True)
    )


def test_there_are_as_many_as_promised() -> None:
    assert len(OURS) >= 48
    assert len({s.split for s in OURS}) == 2


@pytest.mark.parametrize("situation", OURS, ids=lambda s: s.name)
class TestEach:
    def test_runs_alike_for_the_same_seed_and_starts_healthy_without_the_fault(
        self, situation: Situation
    ) -> None:
        for level in (None, *situation.levels):
            first, second = (losses(situation.build(level, 1)) for _ in range(2))
            assert len(first) >= 3
            assert same(first, second)
            if level is None:
                assert all(math.isfinite(loss) for loss in first)

    def test_says_what_it_is_and_where_it_is_from(self, situation: Situation) -> None:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", situation.name)
        assert situation.summary.endswith((".", ")"))
        assert situation.source

    def test_truth_is_well_formed(self, situation: Situation) -> None:
        truth = situation.truth
        assert truth is not None
        assert truth.codes
        assert all(re.fullmatch(r"TV\d{3}", code) for code in truth.codes)
        assert truth.remedies
        assert situation.levels == tuple(level for level in Level if level in situation.levels)
        assert 0 <= truth.onset[0] <= truth.onset[1] < situation.build(None, 0).steps
