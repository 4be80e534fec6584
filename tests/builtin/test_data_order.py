"""TV503 finds sorted data and nothing else; without this an unshuffled loader would go unseen, or every rare
class raise an alarm.
"""

from collections.abc import Callable, Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builtin.runs import only, silent, verdict, window
from torchvitals.builtin.data_order import DataOrder
from torchvitals.core.finding import Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.tables import Table
from torchvitals.schedule import Schedule
from torchvitals.testing import check_diagnostic, table

TV503 = DataOrder()
Labels = Callable[[int], np.ndarray]


def look(step: int, labels: np.ndarray, classes: int, *, parts: int = 1, targets: int = 1) -> Snapshot:
    """A look at a batch with these labels, in `parts` micro-batches, with `targets` targets a sample."""
    n = len(labels)
    rows = table("loss", ("cross_entropy",), count=float(n * targets), classes=float(classes))
    present = {"present": (np.bincount(labels, minlength=classes) > 0,)}
    features = table("features", ("input",), count=n * 6.0, freedom=(n - parts) * 6.0)
    tables = {"loss": Table("loss", rows.names, rows.columns, present), "features": features}
    return Snapshot(step, {"loss": 1.0, "iteration": (step + 1.0) * parts}, {}, tables)


def run(labels: Labels, classes: int, *, steps: int = 200, **options: int) -> list[Snapshot]:
    """The looks of a run of which the batch of each step has these labels."""
    return [look(i, labels(i), classes, **options) for i in range(steps) if Schedule().due(i)]


def in_order(y: np.ndarray, size: int) -> Labels:
    """Batches of a set that is read from its beginning to its end, over and over."""
    return lambda step: y[(step * size + np.arange(size)) % len(y)]


def at_random(shares: Iterable[float], size: int, seed: int = 0) -> Labels:
    p = np.array(list(shares), float)
    return lambda step: np.random.default_rng((seed, step)).choice(len(p), size, p=p / p.sum())


def ever(runs: list[Snapshot]) -> bool:
    """Whether anything is found at any look."""
    return any(not silent(TV503, window(runs[: n + 1])) for n in range(len(runs)))


@pytest.mark.parametrize(
    ("classes", "each", "size"),
    [
        (10, 125, 64),
        (10, 640, 64),
        (10, 64, 64),
        (2, 640, 64),
        (100, 20, 64),
        (100, 50, 128),
        (10, 30, 8),
        (3, 59, 16),
    ],
    ids=str,
)
def test_a_set_that_comes_sorted_by_class_is_a_warning(classes, each, size):
    runs = run(in_order(np.repeat(np.arange(classes), each), size), classes)
    finding = only(TV503, window(runs))
    assert (finding.severity, finding.where, finding.since) == (Severity.WARNING, ("cross_entropy",), 0)
    assert float(finding.evidence["implied_mass"]) < 0.35


def test_a_sorted_set_of_small_classes_is_told_within_twelve_steps():
    runs = run(in_order(np.repeat(np.arange(10), 125), 64), 10)
    assert not silent(TV503, window(runs[:12]))


@pytest.mark.parametrize("size", [1, 2, 4, 8, 16, 64, 256])
@pytest.mark.parametrize(
    "shares",
    [
        [1, 1],
        [99, 1],
        [1] * 10,
        [999, 1, 1, 1],
        [1 / k for k in range(1, 101)],
        [1] * 1000,
        [0.5**k for k in range(12)],
    ],
    ids=["two", "rare", "ten", "fraud", "zipf", "thousand", "geometric"],
)
def test_random_batches_are_healthy_however_the_classes_are_shared(shares, size):
    assert not ever(run(at_random(shares, size), len(shares)))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0.001, 1.0), min_size=2, max_size=40),
    st.sampled_from([8, 16, 32, 64, 128]),
    st.integers(0, 2**31),
)
def test_no_random_order_is_accused(shares, size, seed):
    assert not ever(run(at_random(shares, size, seed), len(shares), steps=100))


@pytest.mark.parametrize(("classes", "taken"), [(50, 8), (200, 8), (200, 16), (1000, 16)])
def test_classes_that_are_chosen_for_a_batch_as_in_metric_learning_are_healthy(classes, taken):
    for seed in range(8):

        def chosen(step: int, seed: int = seed) -> np.ndarray:
            return np.repeat(np.random.default_rng((seed, step)).choice(classes, taken, replace=False), 4)

        assert not ever(run(chosen, classes, steps=60))


@pytest.mark.parametrize(("per", "length"), [(2, 40), (5, 100), (2, 15), (5, 16)])
def test_classes_that_are_taught_in_stages_are_healthy(per, length):
    def stage(step: int) -> np.ndarray:
        return (step // length % (10 // per)) * per + np.random.default_rng(step).integers(0, per, 32)

    assert not ever(run(stage, 10))


def test_pixels_and_words_are_not_judged():
    # A picture has few of many classes, and neighbours in a film have the same.
    film = in_order(np.repeat(np.arange(20), 100), 32)
    assert not ever(run(film, 20, targets=4096))


@pytest.mark.parametrize("size", [1, 2, 4])
def test_batches_of_a_few_samples_tell_no_order(size):
    assert not ever(run(in_order(np.repeat(np.arange(10), 100), size), 10))


def test_a_regression_has_no_classes():
    runs = run(in_order(np.repeat(np.arange(10), 125), 64), 10)
    bare = [
        Snapshot(
            s.step, s.scalars, {}, {**s.tables, "loss": Table("loss", s["loss"].names, s["loss"].columns)}
        )
        for s in runs
    ]
    assert silent(TV503, window(bare))


def test_seven_looks_are_too_few():
    assert silent(TV503, window(run(in_order(np.repeat(np.arange(10), 64), 64), 10)[:7]))


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([2, 4]), st.permutations(range(10)), st.booleans(), st.integers(0, 9))
def test_neither_micro_batches_nor_the_names_of_classes_change_the_verdict(parts, names, ordered, seed):
    y = np.repeat(np.arange(10), 125)
    labels = in_order(y, 64) if ordered else at_random([1] * 10, 64, seed)
    named = np.array(names)
    whole = run(labels, 10, steps=60)
    split = run(lambda step: named[labels(step)], 10, steps=60, parts=parts)
    assert verdict(TV503.diagnose(window(whole))) == verdict(TV503.diagnose(window(split)))
    assert silent(TV503, window(whole)) is not ordered


def test_it_keeps_the_rules_of_the_house():
    check_diagnostic(DataOrder, windows=[window(run(in_order(np.repeat(np.arange(10), 125), 64), 10))])
