"""TV302 tells steps that wreck a training from large ones that it lives with; without this Adam's first steps
would be called ill.
"""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builtin.runs import incidents, only, silent, verdict
from tests.builtin.step_runs import MATRICES, louder, moved, of, turned
from torchvitals.builtin.update_too_large import UpdateTooLarge
from torchvitals.core.finding import Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.testing import check_diagnostic

TV302 = UpdateTooLarge()


def run(ratios, losses, **options) -> list[Snapshot]:
    return [moved(i, r, loss=x, **options) for i, (r, x) in enumerate(zip(ratios, losses, strict=True))]


BLOW_UP = run([0.46, 6.6, 15, 22, 210], [2.5, 21, 716, 8e4, 2.8e7])
FALLING = [2.5 * 0.95**i for i in range(60)]


def test_it_keeps_the_rules_of_the_house():
    check_diagnostic(UpdateTooLarge, windows=[of(BLOW_UP)])


def test_a_loss_that_explodes_after_large_steps_is_critical_within_five_steps():
    finding = only(TV302, of(BLOW_UP))
    assert (finding.severity, finding.since) == (Severity.CRITICAL, 0)
    assert finding.cause == "learning rate too large"
    assert finding.message == "Updates reach 210 times the weights at step 4, and the loss has blown up."
    assert finding.remedies[0].overrides == ("optimizer.lr=0.01",)


def test_the_onset_is_the_first_look_of_the_spell():
    calm = run([1e-3] * 4, [2.5, 2.4, 2.3, 2.2])
    wild = [moved(4 + i, 0.5, loss=3.0 * 4**i) for i in range(8)]
    assert only(TV302, of([*calm, *wild])).since == 4


def test_a_run_that_ended_in_nan_still_shows_it():
    dead = [moved(5 + i, 0.0, loss=math.nan) for i in range(40)]
    finding = only(TV302, of([*BLOW_UP, *dead]))
    assert (finding.severity, finding.since) == (Severity.CRITICAL, 0)


def test_nan_right_after_one_huge_step_is_enough():
    assert only(TV302, of([moved(0, 9.0), moved(1, 0.0, loss=math.inf)])).evidence["harm"] == (
        "the numbers have overflowed"
    )


def test_nan_long_after_the_large_steps_has_another_reason():
    quiet = [moved(4 + i, 1e-3, loss=x) for i, x in enumerate(FALLING[4:30])]
    assert silent(TV302, of([*run([0.5] * 4, FALLING[:4]), *quiet, moved(40, 0.0, loss=math.nan)]))


def test_a_net_that_was_killed_and_stays_at_chance_is_critical():
    ratios = [0.8, 0.5, 0.3, 0.2, 0.15, *[1e-4] * 30]
    losses = [2.3, 6.9, *[2.31, 2.29] * 16, 2.3]
    finding = only(TV302, of(run(ratios, losses)))
    assert (finding.severity, finding.evidence["harm"]) == (Severity.CRITICAL, "the loss stands still")


def test_a_long_spell_of_brisk_steps_before_a_rise_is_told_although_none_is_large():
    losses = [2.5, *[2.5 * 0.8**i for i in range(12)], *[3.0 * 1.3**i for i in range(12)]]
    finding = only(TV302, of(run([0.05] * 25, losses, momentum=0.99)))
    assert finding.severity is Severity.CRITICAL
    assert finding.cause == "learning rate too large for this momentum"
    assert finding.remedies[0].overrides == ("optimizer.momentum=0.9",)


def test_under_a_heavy_momentum_a_spell_lasts_until_its_steps_are_half_as_large():
    ratios = [*[0.05] * 10, *[0.02] * 30]
    losses = [*FALLING[:30], *[4.0] * 10]
    assert only(TV302, of(run(ratios, losses, momentum=0.99))).severity is Severity.CRITICAL
    assert silent(TV302, of(run(ratios, losses, momentum=0.9)))
    ended = [*[0.05] * 10, *[0.01] * 30]
    assert silent(TV302, of(run(ended, losses, momentum=0.99)))


# -- healthy look-alikes


@pytest.mark.parametrize(
    "ratios",
    [
        pytest.param([0.11, *[0.02] * 39], id="Adam's first step at torch's initialisation"),
        pytest.param([0.084, 0.064, 0.056, *[0.046] * 37], id="Adam at 1e-2"),
        pytest.param([0.04] * 40, id="momentum with batch normalisation"),
    ],
)
def test_brisk_steps_of_a_loss_that_falls_are_silent(ratios):
    assert silent(TV302, of(run(ratios, FALLING[:40])))


def test_large_steps_that_do_no_harm_are_a_note_as_long_as_they_last():
    finding = only(TV302, of(run([0.12] * 9, FALLING[:9])))
    assert finding.severity is Severity.INFO
    assert silent(TV302, of(run([0.12] * 9 + [0.01] * 3, FALLING[:12])))


def test_a_catapult_that_comes_back_is_never_above_a_note():
    ratios = [0.5, 0.3, 0.2, 0.15, *[0.02] * 36]
    losses = [2.5, 4.1, 3.1, 2.0, 2.4, 1.3, 1.0, *FALLING[12:45]]
    assert max(i.severity for i in incidents(TV302, run(ratios, losses))) is Severity.INFO


def test_a_task_switch_long_after_brisk_steps_has_another_reason():
    ratios = [0.5, 0.3, 0.2, *[0.005] * 47]
    losses = [*FALLING[:40], *[6.0] * 10]
    assert silent(TV302, of(run(ratios, losses)))


def test_a_loss_that_was_negative_once_is_not_judged_by_its_height():
    losses = [0.1, -0.5, 3.0, -2.0, *[9.0] * 20]
    assert only(TV302, of(run([0.2] * 24, losses))).severity is Severity.INFO


def test_what_weight_decay_moves_is_not_a_matter_of_the_learning_rate():
    assert silent(TV302, of(run([0.2] * 40, [2.3] * 40, weight_decay=1.0)))


def test_a_matrix_that_starts_at_zero_is_measured_against_its_natural_size():
    zero_head = moved(0, [1e-3, 1e-3, 1e3], size=[0.1, 0.1, 1e-5])  # moves by 0.01 of RMS, 1/sqrt(64) = 0.125
    assert silent(TV302, of([zero_head]))


def test_a_lone_matrix_has_to_move_ten_times_as_far():
    assert silent(TV302, of(run([[0.9, 1e-3, 1e-3]] * 9, FALLING[:9])))
    finding = only(TV302, of(run([[1.2, 1e-3, 1e-3]] * 9, FALLING[:9])))
    assert finding.where[0] == MATRICES[0]


def test_biases_do_not_count():
    assert silent(TV302, of(run([5.0] * 9, FALLING[:9], fan_in=0.0)))


# -- laws

runs = st.lists(
    st.tuples(st.sampled_from([1e-3, 0.047, 0.13, 0.9, 7.0]), st.sampled_from([0.3, 1.0, 2.9, 47.0, 900.0])),
    min_size=1,
    max_size=24,
).map(lambda steps: run(*zip(*steps, strict=True)))


@given(runs, st.integers(-30, 30))
def test_the_verdict_does_not_change_when_the_loss_is_scaled(steps, power):
    scaled = of(louder(s, 2.0**power) for s in steps)
    assert verdict(TV302.diagnose(scaled)) == verdict(TV302.diagnose(of(steps)))


@given(runs)
def test_the_order_of_the_parameters_changes_nothing_but_ties(steps):
    one, other = list(TV302.diagnose(of(steps))), list(TV302.diagnose(of(map(turned, steps))))
    assert [(f.severity, f.since, set(f.where)) for f in one] == [
        (f.severity, f.since, set(f.where)) for f in other
    ]


@given(runs)
def test_steps_below_the_brisk_limit_are_never_accused(steps):
    calm = [moved(s.step, 0.02, loss=s.loss) for s in steps]
    assert silent(TV302, of(calm))


def test_a_long_spell_after_which_all_that_was_learned_is_gone_is_critical():
    losses = [*[2.5 * 0.8**i for i in range(12)], *[2.3] * 20]
    finding = only(TV302, of(run([0.05] * 14 + [1e-4] * 18, losses)))
    assert (finding.severity, finding.since) == (Severity.CRITICAL, 0)
    assert finding.evidence["harm"] == "the loss is back where it started"
