"""TV201 tells starving layers from rescaled ones; without this Adam's healthy runs would be called ill."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builtin.runs import (
    NAMES,
    backward,
    broken,
    changed,
    halved,
    incidents,
    only,
    profiles,
    scaled,
    silent,
    slope,
    verdict,
    window,
)
from torchvitals.builtin.vanishing_gradient import VanishingGradient
from torchvitals.core.finding import Severity

TV201 = VanishingGradient()


def falling(steps: int, decades: np.ndarray, **options):
    """A run whose loss falls all the time."""
    return [backward(i, decades, loss=0.9**i, **options) for i in range(steps)]


def test_three_looks_at_a_loss_of_four_decades_are_critical_under_sgd():
    finding = only(TV201, window(falling(3, slope(-4))))
    assert (finding.severity, finding.since) == (Severity.CRITICAL, 0)
    assert finding.message == "The gradient shrinks by 10^4.0 on its way back from fc9 to fc0."
    assert finding.evidence["decades_lost"] == pytest.approx(4)
    assert finding.evidence["factor_per_site"] == pytest.approx(10 ** (-4 / 9))
    assert finding.evidence["consistency_r2"] == pytest.approx(1)


def test_the_starved_layers_are_named_worst_first():
    assert only(TV201, window(falling(3, slope(-4.5)))).where == ("fc0", "fc1", "fc2")


@pytest.mark.parametrize(
    ("decades", "looks", "found"),
    [
        pytest.param(slope(-4.5), 1, True, id="more than four decades at the very first look"),
        pytest.param(slope(-3.5), 1, False, id="one look at less"),
        pytest.param(slope(-3.5), 2, False, id="two looks at less"),
        pytest.param(slope(-3.5), 3, True, id="three looks"),
        pytest.param(slope(-2.9), 9, False, id="fewer than three decades"),
        pytest.param(slope(3.5), 9, False, id="growing"),
        pytest.param(slope(-9, sites=5), 9, False, id="too shallow to speak of"),
        pytest.param(slope(-9, sites=6), 9, True, id="just deep enough"),
        pytest.param(np.array([-4, *[0] * 9]), 9, False, id="one cliff and no slope"),
        pytest.param(np.zeros(10), 9, False, id="all alike"),
    ],
)
def test_it_takes_depth_steadiness_and_persistence(decades, looks, found):
    assert silent(TV201, window(falling(looks, decades))) is not found


def test_one_steep_look_later_in_the_run_is_not_enough():
    assert silent(TV201, window([*falling(5, slope(-1)), backward(5, slope(-9))]))


def test_sites_whose_gradient_is_exactly_zero_are_cut_and_not_starved():
    run = [changed(s, "activation_gradient", sum_sq=[0.0] * 3 + [1.0] * 7) for s in falling(9, slope(-9))]
    assert silent(TV201, window(run))


def test_the_steepest_site_is_the_one_on_whose_way_back_most_is_lost():
    decades = slope(-4) - np.array([1.0] * 5 + [0.0] * 5)
    assert only(TV201, window(falling(3, decades))).evidence["steepest_site"] == NAMES[5]


@pytest.mark.parametrize(
    ("op", "cause"),
    [("sigmoid", "activation slope"), ("tanh", "activation slope"), ("relu", "initialisation scale")],
)
def test_the_cause_is_where_the_gradient_is_lost(op, cause):
    finding = only(TV201, window(falling(3, slope(-4), op=op)))
    assert finding.cause == cause
    assert finding.remedies[0].overrides[-1] == "init=he_normal"


@pytest.mark.parametrize(
    ("options", "severity"),
    [
        pytest.param({"eps": 1e-8, "gradient": 1e-3}, Severity.INFO, id="Adam rescales it"),
        pytest.param({"eps": 1e-8, "gradient": 9e-8}, Severity.CRITICAL, id="below ten eps"),
        pytest.param({"eps": 1e-8, "gradient": 1.1e-7}, Severity.INFO, id="just above ten eps"),
        pytest.param({"eps": 1e-8, "gradient": 1e-3, "update": 1e-9}, Severity.CRITICAL, id="rounded away"),
        pytest.param({"eps": 1e-8, "update": 1e-9, "lr": 0.0}, Severity.INFO, id="no update in a warm-up"),
        pytest.param({"eps": 0.0}, Severity.INFO, id="no eps at all"),
        pytest.param({"eps": None}, Severity.CRITICAL, id="eps unknown"),
        pytest.param({"eps": 1e-8, "optimizer": "SGD"}, Severity.CRITICAL, id="not adaptive"),
        pytest.param(
            {"eps": 1e-8, "optimizer": "Adam+SGD"}, Severity.CRITICAL, id="one of two is not adaptive"
        ),
        pytest.param({"eps": 1e-8, "optimizer": "AdamW+RMSprop"}, Severity.INFO, id="both are adaptive"),
        pytest.param({"eps": 1e-8, "optimizer": ""}, Severity.CRITICAL, id="optimizer unknown"),
    ],
)
def test_an_optimizer_that_rescales_makes_it_a_note_as_long_as_its_eps_lets_it(options, severity):
    finding = only(TV201, window(falling(3, slope(-4), **{"optimizer": "Adam", **options})))
    assert finding.severity is severity
    assert finding.message.endswith("but the optimizer rescales it.") is (severity is Severity.INFO)


@pytest.mark.parametrize(
    ("losses", "severity"),
    [
        pytest.param([1.0] * 12, Severity.CRITICAL, id="stands still"),
        pytest.param([1.0 - 0.001 * i for i in range(12)], Severity.CRITICAL, id="hardly falls"),
        pytest.param([0.9**i for i in range(12)], Severity.INFO, id="falls"),
        pytest.param([1.0] * 8, Severity.INFO, id="too early to tell"),
        pytest.param([None] * 12, Severity.INFO, id="loss never told"),
        pytest.param([1.0] + [0.01] * 11, Severity.INFO, id="has fallen and converged"),
    ],
)
def test_a_loss_that_stands_still_under_adam_is_critical(losses, severity):
    run = [backward(i, slope(-4), loss=x, optimizer="Adam", eps=1e-8) for i, x in enumerate(losses)]
    assert only(TV201, window(run)).severity is severity


def test_a_run_that_recovers_leaves_an_incident_that_is_resolved_after_three_looks():
    run = [backward(i, slope(-4.5 if i < 5 else -1)) for i in range(9)]
    (incident,) = incidents(TV201, run)
    assert (incident.onset, incident.last_seen, incident.resolved) == (0, 4, 7)


def test_the_onset_is_the_first_look_of_the_streak():
    run = [backward(i, slope(-1 if i < 4 else -4)) for i in range(9)]
    assert only(TV201, window(run)).since == 4


# -- laws

losses = st.sampled_from([1.0, 0.5, 0.25])
runs = st.lists(st.tuples(profiles(), losses), min_size=1, max_size=4).map(
    lambda run: [backward(i, decades, loss=loss) for i, (decades, loss) in enumerate(run)]
)


@given(runs, st.integers(-30, 30))
def test_the_verdict_does_not_change_when_loss_and_gradients_are_scaled(run, power):
    """For plain gradient descent. Under Adam the comparison of gradients with eps depends on their scale, as
    Adam itself does: that is its point.
    """
    rescaled = window(scaled(s, 2.0**power) for s in run)
    assert verdict(TV201.diagnose(rescaled)) == verdict(TV201.diagnose(window(run)))


def test_under_adam_the_scale_of_the_gradients_matters_only_through_eps():
    run = falling(3, slope(-4), optimizer="Adam", eps=1e-8, gradient=2e-7)
    assert only(TV201, window(scaled(s, 2.0**20) for s in run)).severity is Severity.INFO
    assert only(TV201, window(scaled(s, 2.0**-20) for s in run)).severity is Severity.CRITICAL


@given(runs)
def test_two_micro_batches_are_judged_as_the_batch_they_make(run):
    merged = list(TV201.diagnose(window(map(halved, run))))
    assert merged == list(TV201.diagnose(window(run)))


@given(runs, st.data(), st.sampled_from(["SGD", "Adam"]))
def test_a_non_finite_step_changes_nothing_on_the_finite_rest(run, data, optimizer):
    place = data.draw(st.integers(0, len(run)))
    finite = [
        type(s)(2 * s.step, {**s.scalars, "eps": 1e-8}, {"optimizer": optimizer}, s.tables) for s in run
    ]
    together = sorted([*finite, broken(finite[0], 2 * place - 1)], key=lambda s: s.step)
    assert verdict(TV201.diagnose(window(together))) == verdict(TV201.diagnose(window(finite)))


@pytest.mark.parametrize("place", [0, 6, 11])
def test_a_nan_loss_is_no_sign_that_the_loss_moves(place):
    run = [backward(2 * i, slope(-4), optimizer="Adam", eps=1e-8) for i in range(12)]
    bad = backward(2 * place + 1, slope(-4), optimizer="Adam", eps=1e-8, loss=math.nan)
    together = window(sorted([*run, bad], key=lambda s: s.step))
    assert only(TV201, together).severity is Severity.CRITICAL
