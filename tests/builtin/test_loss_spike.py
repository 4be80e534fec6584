"""TV401 tells a spike that destroys from one that passes; without this every bad batch would be an alarm."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builtin.loss_runs import HEALTHY, alarms, decay, findings, red, run, times, windows
from tests.builtin.runs import verdict
from torchvitals.builtin.loss_spike import LossSpike
from torchvitals.core.finding import Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.window import Window
from torchvitals.testing import check_diagnostic

TV401 = LossSpike()


def learned(steps: int, seed: int = 0, noise: float = 0.02) -> np.ndarray:
    """Falls from 2.3 to 0.3 within about fifty steps."""
    return 0.3 + 2 * np.exp(-np.arange(steps) / 12) + noise * red(np.random.default_rng(seed), steps)


def collapsed(at: int, steps: int, to: float = 2.3) -> np.ndarray:
    """Learned until it collapses for good."""
    return np.where(np.arange(steps) < at, learned(steps), to + 0.05 * red(np.random.default_rng(1), steps))


@pytest.mark.parametrize("at", [90, 150, 500])
def test_a_collapse_from_which_the_loss_does_not_recover_becomes_a_warning(at):
    found = alarms(TV401, run(collapsed(at, at + 150)))
    step, finding = found[0]
    assert (finding.severity, finding.where) == (Severity.WARNING, ("model",))
    assert at <= step <= at + 100
    assert abs(finding.since - at) <= 16
    assert finding.cause == "a step too large or an unusual batch"
    assert finding.evidence["progress_lost"] == pytest.approx(1, abs=0.1)
    assert finding.evidence["loss_before"] == pytest.approx(0.3, abs=0.1)


def test_it_is_a_note_at_first_and_worse_when_patience_has_run_out():
    found = [f.severity for _, f in findings(TV401, run(collapsed(500, 1200)))]
    assert found[0] == Severity.INFO
    assert sorted(found) == found
    assert found[-1] == Severity.WARNING


def test_a_spike_that_recovers_is_a_note_for_a_while():
    losses = learned(400)
    losses[200:206] += [1.0, 3.0, 2.5, 1.5, 0.8, 0.3]
    found = findings(TV401, run(losses))
    assert {f.severity for _, f in found} == {Severity.INFO}
    assert found[-1][1].message.endswith("and has recovered.")
    assert found[-1][0] <= 260


def test_one_unlucky_batch_is_no_spike_however_large():
    losses = learned(300)
    losses[120] = 50
    assert findings(TV401, run(losses)) == []


def test_two_large_losses_in_a_row_are():
    losses = learned(300)
    losses[120:122] = 5
    assert findings(TV401, run(losses))


def test_noise_by_powers_of_ten_around_nearly_0_is_no_part_of_the_progress():
    losses = learned(400) - 0.3 + 10 ** (-4 + 0.7 * red(np.random.default_rng(3), 400))
    losses[250:260] = 0.3  # three thousand times the level before
    assert findings(TV401, run(np.abs(losses))) == []


def test_a_new_task_is_a_note_since_the_loss_falls_again():
    since = np.arange(400) % 200
    losses = 0.1 + 4 * np.exp(-since / 25)
    assert {f.severity for _, f in findings(TV401, run(losses))} == {Severity.INFO}


def test_a_loss_that_is_lost_by_half_without_a_reason_is_left_a_note():
    found = findings(TV401, run(collapsed(150, 300, to=0.9)))
    assert {f.severity for _, f in found} == {Severity.INFO}


def test_where_the_learning_rate_jumped_less_of_the_progress_is_enough_and_it_is_named():
    rates = np.where(np.arange(300) < 150, 0.01, 0.1)
    _, finding = alarms(TV401, run(collapsed(150, 300, to=0.9), rates=rates))[0]
    assert finding.cause == "learning rate rose"
    assert finding.remedies[0].overrides == ("scheduler=warmup_cosine",)


def test_a_warm_restart_is_a_note_since_the_learning_rate_falls_again():
    rates = 0.5 + 0.5 * np.cos(np.pi * (np.arange(450) % 150) / 150)
    losses = learned(450) + 1.2 * rates
    assert alarms(TV401, run(losses, rates=rates)) == []


def thrown(peak: float) -> tuple[np.ndarray, np.ndarray]:
    """A cosine that restarts at `peak` times its old height, with a loss that jumps above its start."""
    share = np.arange(300) % 150 / 150
    rates = np.where(np.arange(300) < 150, 1.0, peak) * (0.5 + 0.5 * np.cos(np.pi * share))
    since = np.arange(300) - 150
    return np.where(since < 0, learned(300), 0.3 + 4 * np.exp(-np.maximum(since, 0) / 40)), rates


@pytest.mark.parametrize(("peak", "found"), [(30, True), (1, False), (0.5, False)], ids=str)
def test_a_restart_far_above_the_old_height_that_throws_the_net_away_is_accused(peak, found):
    losses, rates = thrown(peak)
    assert bool(alarms(TV401, run(losses, rates=rates))) is found


def test_a_restart_far_above_the_old_height_that_the_net_survives_is_a_note():
    losses, rates = thrown(30)
    assert alarms(TV401, run(0.4 * losses + 0.6 * learned(300), rates=rates)) == []


def test_a_cosine_that_goes_on_after_its_end_is_accused_of_what_it_undoes():
    rates = 0.5 + 0.5 * np.cos(np.pi * np.arange(600) / 300)
    losses = learned(600) + np.where(np.arange(600) > 300, 1.2, 0.1) * rates
    step, finding = alarms(TV401, run(losses, rates=rates))[0]
    assert finding.cause == "learning rate rose"
    assert finding.message.endswith("while the learning rate rose again.")
    assert 300 < step < 600


def test_the_same_rise_at_a_constant_rate_is_not_a_spike():
    rates = 0.5 + 0.5 * np.cos(np.pi * np.arange(600) / 300)
    losses = learned(600) + np.where(np.arange(600) > 300, 1.2, 0.1) * rates
    assert alarms(TV401, run(losses)) == []


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_enters_no_level(bad):
    losses, broken = collapsed(150, 300), collapsed(150, 300)
    broken[[100, 120, 144, 200]] = bad
    assert verdict([alarms(TV401, run(broken))[0][1]]) == verdict([alarms(TV401, run(losses))[0][1]])


@settings(max_examples=15, deadline=None)
@given(st.integers(-40, 40), st.sampled_from([collapsed(150, 260), decay(np.random.default_rng(5), 260)]))
def test_the_unit_of_the_loss_does_not_matter(exponent, losses):
    ours = [f for _, f in findings(TV401, run(losses))]
    theirs = [f for _, f in findings(TV401, times(run(losses), 2.0**exponent))]
    assert verdict(ours) == verdict(theirs)


@settings(max_examples=15, deadline=None)
@given(st.integers(-8, 8))
def test_an_offset_of_the_loss_does_not_matter(offset):
    losses = np.round(collapsed(150, 260) * 2**20) / 2**20  # so that adding a whole number is exact
    ours = [f for _, f in findings(TV401, run(losses))]
    assert verdict(ours) == verdict(f for _, f in findings(TV401, run(losses + offset)))


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_courses_raise_no_alarm(name):
    for seed in range(4):
        rng = np.random.default_rng([seed, 401])
        assert alarms(TV401, run(HEALTHY[name](rng, 400))) == []


def test_a_loss_that_nobody_told_is_said_to_be_missing():
    assert TV401.blind(Window()) is None
    assert TV401.blind(Window((Snapshot(0, {"lr": 0.1}),))) is not None
    assert TV401.blind(Window((Snapshot(0, {"loss": 0.1}),))) is None


def test_it_keeps_the_rules_of_the_house():
    check_diagnostic(LossSpike, windows=list(windows(run(collapsed(150, 300))))[-3:])
