"""The faults of optimizers, loops, precision, norms, architecture and transformers: what holds for each."""

import math
import re
from dataclasses import replace

import pytest
import torch

from sweeps.situations.catalogue import situations
from sweeps.situations.situation import Level, Situation
from sweeps.situations.training import Training, run

MODULES = {
    *("adaptive", "architecture", "attention", "divisions", "embeddings", "experts", "graphs", "holding"),
    *("normalisation", "optimizers", "precision", "rates", "recurrence", "regularisation", "scaling"),
    *("schedules", "transformers", "wiring"),
}
OURS = [s for s in situations().values() if s.truth and s.build.__module__.rpartition(".")[2] in MODULES]


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def losses(training: Training, steps: int = 3) -> tuple[float, ...]:
    """Those of its first steps."""
    done = run(replace(training, steps=steps, score=lambda _model: 0.0))
    assert not done.error
    return done.losses


def test_every_file_is_among_them() -> None:
    assert {s.build.__module__.rpartition(".")[2] for s in OURS} == MODULES
    assert len(OURS) >= 46
    assert len({s.split for s in OURS}) == 2


@pytest.mark.parametrize("situation", OURS, ids=lambda s: s.name)
class TestEach:
    def test_is_the_same_for_the_same_seed_and_starts_finite_without_the_fault(
        self, situation: Situation
    ) -> None:
        for level in (None, *situation.levels):
            first, second = (losses(situation.build(level, 1)) for _ in range(2))
            assert len(first) == 3
            # As texts, among which "nan" equals "nan".
            assert list(map(str, first)) == list(map(str, second))
            assert level or all(map(math.isfinite, first))

    def test_is_another_for_another_seed(self, situation: Situation) -> None:
        first, second = (losses(situation.build(None, seed), 1) for seed in (1, 2))
        assert first != second

    def test_says_what_it_is_and_where_it_is_from(self, situation: Situation) -> None:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", situation.name)
        assert situation.summary.endswith(".")
        assert situation.source

    def test_its_truth_is_well_formed(self, situation: Situation) -> None:
        truth = situation.truth
        assert truth is not None
        assert truth.codes
        assert all(re.fullmatch(r"TV\d{3}", code) for code in truth.codes)
        assert truth.remedies
        assert situation.levels == tuple(level for level in Level if level in situation.levels)
        assert situation.levels[0] is Level.BLATANT
        for level in situation.levels:
            assert 0 <= truth.onset[0] <= truth.onset[1] < situation.build(level, 0).steps
