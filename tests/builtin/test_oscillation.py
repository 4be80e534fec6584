"""TV407 accuses a step that bounces, not two tasks; without this the edge of stability would be ill."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builtin.loss_runs import HEALTHY, alarms, findings, red, run, times, windows
from tests.builtin.runs import verdict
from torchvitals.builtin.oscillation import Oscillation
from torchvitals.core.finding import Severity
from torchvitals.testing import check_diagnostic

TV407 = Oscillation()


def bouncing(steps: int = 120, low: float = 1.1, high: float = 4.0, ramp: int = 20) -> np.ndarray:
    """From a level of 1 the loss begins to bounce, ever higher, until it keeps to two levels."""
    to = np.where(np.arange(steps) % 2 == 0, low, high)
    grown = np.minimum(np.arange(steps) / ramp, 1)
    return 1 + (to - 1) * grown + 0.05 * red(np.random.default_rng(0), steps)


def test_bouncing_above_the_level_of_the_start_is_a_warning():
    step, finding = alarms(TV407, run(bouncing()))[0]
    assert (finding.severity, finding.where) == (Severity.WARNING, ("model",))
    assert 32 <= step <= 64
    assert finding.cause == "learning rate or momentum too large"
    assert finding.evidence["low_loss"] == pytest.approx(1.1, abs=0.1)
    assert finding.evidence["high_loss"] == pytest.approx(3.5, abs=0.7)
    assert finding.since == step - 31


def test_bouncing_below_the_start_is_a_note():
    found = findings(TV407, run(bouncing(low=0.2, high=0.8)))
    assert {f.severity for _, f in found} == {Severity.INFO}


def test_a_loss_that_falls_while_it_bounces_is_at_the_edge_of_stability():
    losses = bouncing(low=0.8, high=1.2) * np.exp(-np.arange(120) / 40)
    assert findings(TV407, run(losses)) == []


def test_two_tasks_by_turns_are_no_alarm_although_nothing_is_learned():
    losses = np.where(np.arange(200) % 2 == 0, 4.0, 0.7) + 0.02 * red(np.random.default_rng(0), 200)
    assert {f.severity for _, f in findings(TV407, run(losses))} == {Severity.INFO}


def test_three_tasks_by_turns_do_not_take_turns():
    assert findings(TV407, run(1 + np.arange(120) % 3 + 0.1 * red(np.random.default_rng(0), 120))) == []


def test_noise_takes_no_turns_for_long():
    for seed in range(40):
        losses = 1 + np.random.default_rng(seed).standard_normal(100)
        assert findings(TV407, run(losses)) == []


def test_it_asks_for_steps_in_a_row():
    holed = [s for s in run(bouncing()) if s.step % 20 != 19]
    assert findings(TV407, holed) == []


@settings(max_examples=10, deadline=None)
@given(st.integers(-40, 40), st.sampled_from([bouncing(64), bouncing(64, low=0.2, high=0.8)]))
def test_the_unit_of_the_loss_does_not_matter(exponent, losses):
    ours = [f for _, f in findings(TV407, run(losses))]
    assert verdict(ours) == verdict(f for _, f in findings(TV407, times(run(losses), 2.0**exponent)))


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_courses_raise_no_alarm(name):
    for seed in range(4):
        assert alarms(TV407, run(HEALTHY[name](np.random.default_rng([seed, 407]), 300))) == []


def test_it_keeps_the_rules_of_the_house():
    check_diagnostic(Oscillation, windows=list(windows(run(bouncing())))[-2:])
