"""TV402 sees a blow-up at once and no catapult; without this rewards that grow would be divergence."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builtin.loss_runs import HEALTHY, alarms, decay, red, run, times, windows
from tests.builtin.runs import incidents, verdict
from torchvitals.builtin.divergence import Divergence
from torchvitals.core.finding import Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.window import Window
from torchvitals.testing import check_diagnostic

TV402 = Divergence()
BLOWUP = [2.3, 30.0, 900.0, 3e4, 1e6]


def drifted(steps: int = 200, to: float = 14.0) -> np.ndarray:
    """Rises within fifty steps from 2.3 and stays there, noisily."""
    level = 2.3 + (to - 2.3) * np.minimum(np.arange(steps) / 50, 1)
    return level * (1 + 0.15 * red(np.random.default_rng(0), steps))


def test_a_blowup_within_five_steps_is_critical_before_the_fifth():
    step, finding = alarms(TV402, run(BLOWUP))[0]
    assert (finding.severity, finding.since, finding.where) == (Severity.CRITICAL, 0, ("model",))
    assert step == 3
    assert finding.message == "The loss rose from 2.3 at the start to 3e+04 and does not come back."
    assert finding.cause == "learning rate too large"


def test_a_blowup_late_in_the_run_is_seen_and_dated():
    losses = [*decay(np.random.default_rng(0), 200), 20, 400, 2e3, 1e5, 1e7, math.inf, math.nan]
    step, finding = alarms(TV402, run(losses))[0]
    assert abs(finding.since - 200) <= 3
    assert step == 205  # the first step that is not finite is looked at out of turn


def test_an_inf_out_of_nowhere_is_for_others_to_judge():
    assert alarms(TV402, run([2.3, 2.2, 2.1, 2.0, math.inf, math.inf, math.nan])) == []


def test_a_catapult_comes_down_and_is_resolved():
    (incident,) = incidents(TV402, run([*BLOWUP, 1e3, 10, 2.0, *[1.5] * 40]))
    assert incident.resolved is not None
    assert alarms(TV402, run([2.3, 9, 40, 90, 60, 20, 5, 2.5, 2.0, *[1.8] * 60])) == []


def test_a_classifier_that_stays_far_above_chance_has_diverged():
    step, finding = alarms(TV402, run(drifted(), op="cross_entropy"))[0]
    assert finding.severity == Severity.CRITICAL
    assert step <= 80
    assert finding.evidence["trivial_loss"] == pytest.approx(math.log(10))


def test_the_onset_is_when_the_loss_left_what_it_had_learned_and_not_when_it_passed_the_bar():
    climb = np.concatenate([np.full(100, 0.5), np.linspace(0.5, 4, 40), np.full(100, 4.0)])
    _, finding = alarms(TV402, run([2.3, 2.2, 2.0, *climb], op="cross_entropy"))[0]
    bar, half = 103 + 40 * (2.42 - 0.5) / 3.5, 103 + 40 * (1.46 - 0.5) / 3.5
    assert half - 1 <= finding.since <= half + 2 < bar


def test_without_a_loss_function_that_explains_it_the_same_loss_is_left_alone():
    assert alarms(TV402, run(drifted())) == []
    assert alarms(TV402, run(drifted(to=600)))


def test_a_regression_is_judged_by_the_variance_of_its_targets():
    losses = drifted(to=40)
    assert alarms(TV402, run(losses, op="mse_loss", classes=0, target_sq=64.0))
    assert alarms(TV402, run(losses, op="mse_loss", classes=0, target_sq=6400.0)) == []


def test_it_goes_on_as_long_as_the_loss_stays_up():
    found = alarms(TV402, run([*BLOWUP, *(1e6 + 1e5 * red(np.random.default_rng(0), 200))]))
    due = [w.latest.step for w in windows(run([1.0] * 205))]
    assert [step for step, _ in found] == due[3:]
    assert max(f.since for _, f in found) <= 4


def test_a_loss_that_jumps_with_a_new_task_and_falls_is_left_alone():
    since = np.arange(300) - 150
    losses = np.where(since < 0, 0.3, 0.1 + 9 * np.exp(-np.maximum(since, 0) / 40))
    assert alarms(TV402, run([2.3, 2.2, 2.0, *losses], op="cross_entropy")) == []


def test_a_loss_that_begins_at_0_has_no_size_to_be_a_multiple_of():
    losses = [0.0, 1e-3, 3e-3, 1e-2, 0.02, *[0.02] * 100]
    assert alarms(TV402, run(losses)) == []


def test_a_negative_loss_blows_up_as_well():
    losses = [*(5 * np.exp(-np.arange(150) / 30) - 3), 10, 100, 1e3, 1e5, *[1e5] * 70]
    assert alarms(TV402, run(losses))[0][1].since in (149, 150)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(-40, 40),
    st.sampled_from([drifted(120), np.array(BLOWUP), decay(np.random.default_rng(1), 120)]),
)
def test_the_unit_of_the_loss_does_not_matter(exponent, losses):
    given = run(losses, op="cross_entropy")
    ours = [f for _, f in alarms(TV402, given)]
    assert verdict(ours) == verdict(f for _, f in alarms(TV402, times(given, 2.0**exponent)))


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_courses_raise_no_alarm(name):
    for seed in range(4):
        rng = np.random.default_rng([seed, 402])
        assert alarms(TV402, run(HEALTHY[name](rng, 400))) == []


@pytest.mark.parametrize("name", ["decay", "heavy", "converged", "catapult", "plateau", "recovered", "tasks"])
def test_healthy_courses_of_a_known_loss_raise_none_either(name):
    for seed in range(4):
        losses = HEALTHY[name](np.random.default_rng([seed, 402]), 400)
        first = float(np.median(losses[:3]))
        classes = max(2.0, np.ceil(np.exp(min(first, 6))))
        assert alarms(TV402, run(losses, op="cross_entropy", classes=classes, count=64)) == []
        assert alarms(TV402, run(losses, op="mse_loss", classes=0, target_sq=64 * first)) == []


def test_a_loss_that_nobody_told_is_said_to_be_missing():
    assert TV402.blind(Window((Snapshot(0, {"lr": 0.1}),))) is not None
    assert TV402.blind(Window((Snapshot(0, {"loss": 0.1}),))) is None


def test_it_keeps_the_rules_of_the_house():
    check_diagnostic(
        Divergence, windows=[*windows(run(BLOWUP)), list(windows(run(drifted(), op="cross_entropy")))[-1]]
    )
