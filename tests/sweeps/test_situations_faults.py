"""Faults are what they claim to be: named, described, with a truth, and the same again from the same seed."""

import math
import re
from dataclasses import replace

import pytest
import torch

from sweeps.situations.catalogue import situations
from sweeps.situations.situation import Level, Situation
from sweeps.situations.training import Training, run

FAULTS = [situation for situation in situations().values() if not situation.healthy]


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def told(training: Training, steps: int = 3) -> list[str]:
    """Losses of the first steps and the validation loss behind them, as texts: among them nan equals nan."""
    done = run(replace(training, steps=steps, score=lambda _model: 0.0))
    assert not done.error
    validation = () if training.validate is None else (training.validate(training.model),)
    return [str(loss) for loss in (*done.losses, *validation)]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
class TestEach:
    def test_is_the_same_for_the_same_seed_and_starts_finite_without_the_fault(
        self, fault: Situation
    ) -> None:
        for level in (None, *fault.levels):
            first, second = (told(fault.build(level, 1)) for _ in range(2))
            assert len(first) >= 3
            assert first == second
            assert level or all(math.isfinite(float(loss)) for loss in first)

    def test_is_another_for_another_seed(self, fault: Situation) -> None:
        first, second = (told(fault.build(None, seed), 1) for seed in (1, 2))
        assert first != second

    def test_says_what_it_is_and_where_it_is_from(self, fault: Situation) -> None:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", fault.name)
        assert fault.summary.endswith((".", ")"))
        assert fault.source

    def test_its_truth_is_well_formed(self, fault: Situation) -> None:
        truth = fault.truth
        assert truth is not None
        assert truth.codes
        assert all(re.fullmatch(r"TV\d{3}", code) for code in truth.codes)
        assert truth.remedies
        assert fault.levels == tuple(level for level in Level if level in fault.levels)
        for level in fault.levels:
            assert 0 <= truth.onset[0] <= truth.onset[1] < fault.build(level, 0).steps
