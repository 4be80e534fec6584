"""TV404 compares with ln C and its kin; without this a large vocabulary would be noted."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builtin.depth_runs import wide
from tests.builtin.runs import incidents, only, silent, verdict
from tests.builtin.step_runs import called, of
from torchvitals.builtin.first_loss_off import FirstLossOff
from torchvitals.core.finding import Severity
from torchvitals.testing import check_diagnostic, table

TV404 = FirstLossOff()
MSE = {"op": "mse_loss", "classes": 0.0}


def test_it_keeps_the_rules_of_the_house():
    check_diagnostic(FirstLossOff, windows=[of([called(0, mean=900.0)])])


def test_a_classifier_that_is_sure_of_what_it_cannot_know_is_noted():
    finding = only(TV404, of([called(0, mean=112.0)]))
    assert (finding.severity, finding.where, finding.since) == (Severity.INFO, ("cross_entropy",), 0)
    assert finding.message == "The first cross_entropy is 112; a net that knows nothing has 2.3."
    assert finding.evidence["expected"] == pytest.approx(math.log(10))


def test_only_an_enormous_loss_is_a_warning():
    assert only(TV404, of([called(0, mean=229.0)])).severity is Severity.INFO
    assert only(TV404, of([called(0, mean=1e9)])).severity is Severity.WARNING


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"mean": math.log(10)}, id="ln C"),
        pytest.param({"mean": 10.9, "classes": 50257.0}, id="a vocabulary of 50,257"),
        pytest.param({"mean": 16.0, "classes": 50257.0}, id="half as much again"),
        pytest.param({"mean": 0.3}, id="pretrained"),
        pytest.param({"mean": 0.0}, id="perfect"),
        pytest.param({"mean": 3.2}, id="He head: ln C and some"),
        pytest.param({"mean": 9.0, "adjusted": 1.0}, id="weights or smoothing"),
        pytest.param({"op": "nll_loss", "mean": 99.0, "after": ""}, id="of no log-probabilities: TV405's"),
        pytest.param(
            {"op": "binary_cross_entropy_with_logits", "mean": 0.69, "classes": 0.0}, id="yes or no: ln 2"
        ),
        pytest.param({**MSE, "mean": 1.1, "target_sq": 32.0}, id="squared error of standardised targets"),
        pytest.param({**MSE, "mean": 9e9, "target_sq": 32e10}, id="large targets"),
        pytest.param({**MSE, "mean": 5.0, "target_sq": 0.0}, id="all targets 0: of residuals and games"),
        pytest.param({"op": "kl_div", "mean": 99.0, "classes": 0.0}, id="no expectation known"),
    ],
)
def test_expected_first_losses_are_silent(row):
    assert silent(TV404, of([called(0, **row)]))


def test_a_squared_error_is_never_more_than_a_note():
    assert only(TV404, of([called(0, **MSE, mean=1e12)])).severity is Severity.INFO


def test_a_yes_or_no_loss_far_from_ln_2_is_noted():
    row = {"op": "binary_cross_entropy_with_logits", "classes": 0.0}
    assert only(TV404, of([called(0, **row, mean=5.0)])).evidence["expected"] == pytest.approx(math.log(2))


def test_the_note_ends_when_the_loss_has_come_down():
    run = [called(i, mean=max(112.0 - 40 * i, 2.0)) for i in range(8)]
    (incident,) = incidents(TV404, run)
    assert (incident.onset, incident.last_seen, incident.resolved) == (0, 2, 5)


def test_a_loss_that_rises_later_is_none_of_its_business():
    assert silent(TV404, of([called(0, mean=2.3), called(1, mean=500.0)]))


def test_of_two_calls_the_worse_comes_first():
    finding = only(TV404, of([called(0, {"mean": 20.0}, {"mean": 90.0})]))
    assert finding.where == ("cross_entropy#2", "cross_entropy")


def lingering(first, pace, *, steps=17, size=1.0, **row):
    """Looks at a loss that begins so many times ln 10, comes down by `pace` a step, of inputs of this RMS."""
    for i in range(steps):
        look = called(i, mean=math.log(10) * max(1.0, first * pace**i), **row)
        features = table("features", ("input",), count=64.0, sum_sq=64.0 * size**2)
        yield type(look)(look.step, look.scalars, look.labels, {**look.tables, "features": features})


@pytest.mark.parametrize(
    ("looks", "severity"),
    [
        pytest.param(lingering(24, 0.93), Severity.WARNING, id="still high after 16 steps"),
        pytest.param(lingering(24, 0.93, steps=16), Severity.INFO, id="not yet 16 steps"),
        pytest.param(lingering(24, 0.86), Severity.INFO, id="it comes down"),
        pytest.param(lingering(9, 0.97), Severity.INFO, id="tied embeddings of unit variance"),
        pytest.param(lingering(24, 0.93, size=73.0), Severity.INFO, id="raw pixels: the data's doing"),
    ],
)
def test_a_large_loss_that_does_not_come_down_is_a_warning(looks, severity):
    assert only(TV404, of(looks)).severity is severity


def test_layers_that_are_too_large_are_named_and_then_the_one_that_gives_the_outputs():
    net = wide(0, [2.0, 64.0, 2.0]).tables
    look = called(0, mean=112.0)
    look = type(look)(0, look.scalars, look.labels, {**look.tables, **net})
    assert only(TV404, of([look])).where == ("fc1", "head", "cross_entropy")


@given(st.floats(0, 1e6), st.integers(2, 10**5), st.integers(1, 8))
def test_several_micro_batches_are_judged_as_one(mean, classes, parts):
    whole = of([called(0, mean=mean, classes=classes, targets=64.0, present=[True])])
    merged = called(0, mean=mean, classes=classes, targets=64.0 * parts, present=[True])
    assert verdict(TV404.diagnose(of([merged]))) == verdict(TV404.diagnose(whole))


@given(st.integers(2, 10**6))
def test_an_even_guess_is_never_noted(classes):
    assert silent(TV404, of([called(0, mean=math.log(classes), classes=classes, present=[True])]))
