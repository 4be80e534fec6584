"""TV406 tells learning by heart from a validation loss that creeps; without this long runs would be ill."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builtin.loss_runs import alarms, findings, red, run, times, windows
from tests.builtin.runs import verdict
from torchvitals.builtin.overfitting import Overfitting
from torchvitals.core.finding import Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.testing import check_diagnostic, table

TV406 = Overfitting()
STEPS = np.arange(400)
FALLING = 2.3 * np.exp(-STEPS / 40) + 0.01


def told(course: np.ndarray, training: np.ndarray = FALLING, *, op: str | None = None, every: int = 25):
    """A run whose validation loss took this course."""
    noisy = training * (1 + 0.05 * red(np.random.default_rng(0), len(training)))
    return run(
        noisy, op=op, validation={int(s): float(course[s]) for s in range(every, len(training), every)}
    )


def decayed(snapshots, decay: float):
    return [
        Snapshot(s.step, {**s.scalars, "weight_decay": decay}, s.labels, s.tables, s.due) for s in snapshots
    ]


TURNED = np.where(STEPS < 100, 2.3 - 0.015 * STEPS, 0.8 + 0.006 * (STEPS - 100))


def test_a_validation_loss_that_gives_back_half_of_its_gain_is_overfitting():
    step, finding = alarms(TV406, told(TURNED))[0]
    assert (finding.severity, finding.where) == (Severity.WARNING, ("model",))
    assert finding.cause.startswith("overfitting")
    assert abs(finding.since - 100) <= 26
    assert 200 < step < 330
    assert finding.evidence["best_validation_loss"] == pytest.approx(0.8, abs=0.2)


def test_one_that_creeps_up_while_the_training_loss_goes_to_0_is_usual():
    creeping = 0.2 + 2.1 * np.exp(-STEPS / 30) + 0.001 * STEPS
    assert findings(TV406, told(creeping)) == []


def test_one_that_rises_with_the_training_loss_is_not_learned_by_heart():
    rising = np.where(STEPS < 100, FALLING, FALLING[100] + 0.006 * (STEPS - 100))
    assert findings(TV406, told(TURNED, rising)) == []


def test_labels_of_pure_noise_are_learned_by_heart():
    assert alarms(TV406, told(2.35 + 0.003 * STEPS))[0][1].cause.startswith("overfitting")


def test_what_holds_on_no_unseen_data_is_seen_before_the_training_loss_is_low():
    slow = 2.3 * (1 - STEPS / 1200)
    level = np.full(400, 2.31)
    assert alarms(TV406, told(level, slow, op="cross_entropy"))
    assert alarms(TV406, told(level - 0.2, slow, op="cross_entropy")) == []


def test_a_gap_from_the_first_validation_on_is_of_other_data():
    step, finding = alarms(TV406, told(np.full(400, 8.0), FALLING / 5 + 2.1 * (STEPS < 5)))[0]
    assert finding.cause.startswith("validation data or eval mode differs")
    assert finding.since == 26
    assert step <= 80


def test_a_gap_that_opens_later_may_be_either():
    stuck = 1.5 + 0.8 * np.exp(-STEPS / 10)
    _, finding = alarms(TV406, told(stuck))[0]
    assert finding.cause.startswith("overfitting, or validation data")


def test_validation_losses_below_the_training_loss_are_healthy():
    assert findings(TV406, told(FALLING * 0.6)) == []


def test_a_small_steady_gap_is_healthy():
    assert findings(TV406, told(FALLING + 0.1 + 0.05 * red(np.random.default_rng(1), 400))) == []


def test_under_a_strong_weight_decay_late_generalisation_may_come():
    grokking = 2.3 + 0.02 * STEPS
    assert {f.severity for _, f in findings(TV406, decayed(told(grokking), 1.0))} == {Severity.INFO}
    assert alarms(TV406, decayed(told(grokking), 0.01))


def test_two_validations_are_too_few_to_judge():
    assert findings(TV406, told(np.full(400, 8.0), every=150)) == []


def test_the_training_loss_alone_or_the_validation_loss_alone_says_nothing():
    assert findings(TV406, run(FALLING)) == []
    only = [Snapshot(s.step, {"val_loss": 3.0 + s.step}, {}, s.tables, s.due) for s in run(FALLING)]
    assert findings(TV406, only) == []


def normed(*, every=True, training=FALLING, validation: Any = None, **columns: Any):
    """A run with two batch norms whose 8 channels are as `columns` say; the second is well if not `every`."""
    first = {"count": 8.0, **columns}
    rows: Any = {name: [value, value if every else WELL[name]] for name, value in first.items()}
    told: Any = {} if validation is None else dict.fromkeys(range(25, len(training), 25), validation)
    norms = table("normalisation", ("norm1", "norm2"), **rows)
    return run(training, validation=told, tables={"normalisation": norms})


WELL = {"count": 8.0, "samples": 64.0, "shift_sq": 0.01, "stretch_sq": 0.01, "moved": 1.0, "momentum": 0.1}


def test_running_statistics_that_never_move_are_told_without_a_validation_loss():
    step, finding = alarms(TV406, normed(every=False, moved=0.0, shift_sq=8.0, momentum=0.0))[0]
    assert (step, finding.since, finding.where) == (15, 0, ("norm1",))
    assert finding.cause.startswith("running statistics that never change")
    assert "have not moved in 15 steps (momentum 0)" in finding.message


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param({"moved": 0.0, "shift_sq": 0.3, "stretch_sq": 0.3}, id="unmoved, and right"),
        pytest.param({"moved": 0.0, "shift_sq": 8.0, "training": 0.0}, id="in eval mode, as in fine-tuning"),
        pytest.param({"shift_sq": 80.0, "momentum": 1e-3}, id="slow, and nobody validates"),
        pytest.param({"moved": 0.0, "shift_sq": 8 * 3.0, "samples": 4.0}, id="small batches, by chance"),
        pytest.param({"shift_sq": 8.0, "samples": 3.0}, id="batches of three"),
    ],
)
def test_batch_norms_that_may_be_well_are_left_alone(columns):
    given = {**WELL, **{k: v for k, v in columns.items() if k != "training"}}
    mode = columns.get("training", 1.0)
    norms = table("normalisation", ("norm1",), **given, training=mode)
    assert findings(TV406, run(FALLING, tables={"normalisation": norms})) == []


def test_norms_over_two_values_each_are_told_and_a_single_one_is_not():
    finding = alarms(TV406, normed(samples=2.0))[0][1]
    assert (finding.where, finding.cause[:36]) == (("norm1", "norm2"), "batch normalisation over two values:")
    assert findings(TV406, normed(every=False, samples=2.0)) == []


def test_a_gap_is_laid_to_norms_that_are_behind():
    behind: Any = {"shift_sq": 8.0, "momentum": 1e-3}
    finding = alarms(TV406, normed(every=False, validation=1.0, **behind))[0][1]
    assert (finding.where, finding.cause[:18]) == (("norm1",), "running statistics")
    assert alarms(TV406, normed(validation=1.0, training=np.full(400, 0.5), **behind)) == []
    assert alarms(TV406, normed(validation=1.0)) == []


def test_a_gap_that_closes_is_that_of_norms_that_catch_up():
    course = 2.0 * np.exp(-STEPS / 60) + 0.2
    slow = run(
        FALLING / 20,
        validation={s: float(course[s]) for s in range(25, 200, 25)},
        tables={"normalisation": table("normalisation", ("norm1",), shift_sq=64.0, momentum=1e-3)},
    )[:200]
    assert alarms(TV406, slow) == []


@settings(max_examples=10, deadline=None)
@given(st.integers(-40, 40), st.sampled_from([TURNED, np.full(400, 8.0), FALLING + 0.1]))
def test_the_unit_of_the_loss_does_not_matter(exponent, course):
    ours = [f for _, f in findings(TV406, told(course))]
    assert verdict(ours) == verdict(f for _, f in findings(TV406, times(told(course), 2.0**exponent)))


def test_it_keeps_the_rules_of_the_house():
    check_diagnostic(Overfitting, windows=list(windows(told(TURNED)))[-2:])
