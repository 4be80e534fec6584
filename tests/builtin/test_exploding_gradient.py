"""TV202 forecasts an overflow and is right; without this a clipped recurrent net would be called ill."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builtin.runs import (
    backward,
    broken,
    changed,
    halved,
    only,
    profiles,
    scaled,
    silent,
    slope,
    verdict,
    window,
)
from torchvitals.builtin.exploding_gradient import ExplodingGradient
from torchvitals.core.finding import Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.testing import table

TV202 = ExplodingGradient()
FLOAT32 = 3.4028234663852886e38


def steps(norms, *, losses=None, limit: float | None = FLOAT32, first: int = 0):
    """Steps of which only the total norm and the loss are known, but for the dtype at the first."""
    losses = losses or [1.0] * len(norms)
    for i, (norm, loss) in enumerate(zip(norms, losses, strict=True)):
        tables = {"gradient": table("gradient", ("w",), limit=limit)} if limit and i == 0 else {}
        yield Snapshot(first + i, {"gradient_norm": norm, "loss": loss}, {}, tables)


# -- over depth


def test_growth_of_four_decades_over_depth_is_critical_at_one_look():
    finding = only(TV202, window([backward(0, slope(4))]))
    assert (finding.severity, finding.since, finding.cause) == (Severity.CRITICAL, 0, "initialisation scale")
    assert finding.message == "The gradient grows by 10^4.0 on its way back from fc9 to fc0."
    assert finding.where == ("fc0", "fc1", "fc2", "fc3", "fc4")
    assert finding.evidence["factor_per_site"] == pytest.approx(10 ** (4 / 9))


def test_growth_over_depth_that_came_later_is_of_grown_weights():
    run = [backward(i, slope(0.5 if i < 4 else 5)) for i in range(8)]
    finding = only(TV202, window(run))
    assert (finding.since, finding.cause) == (4, "weights have grown: learning rate too large")
    assert "learning rate" in finding.remedies[0].text


@pytest.mark.parametrize(
    "decades",
    [
        pytest.param(slope(2.9), id="fewer than three decades"),
        pytest.param(slope(-9), id="shrinking"),
        pytest.param(slope(9, sites=5), id="too shallow to speak of"),
        pytest.param(np.array([4.0, *[0.0] * 9]), id="one cliff and no slope"),
        pytest.param(np.zeros(10), id="all alike"),
    ],
)
def test_what_does_not_grow_steadily_over_depth_is_nothing(decades):
    assert silent(TV202, window(backward(i, decades) for i in range(9)))


def test_the_steepest_site_is_the_one_on_whose_way_back_most_is_gained():
    decades = slope(4) + np.array([1.0] * 3 + [0.0] * 7)
    assert only(TV202, window([backward(0, decades)])).evidence["steepest_site"] == "fc3"


# -- over time


def test_a_norm_that_grows_tenfold_each_step_is_forecast_to_overflow_when_it_will():
    finding = only(TV202, window(steps([10.0**i for i in range(8)])))
    assert (finding.severity, finding.where, finding.since) == (Severity.CRITICAL, ("model",), 3)
    assert finding.evidence["decades_per_step"] == pytest.approx(1)
    assert finding.evidence["decades_gained"] == pytest.approx(5)
    assert finding.evidence["steps_to_overflow"] == pytest.approx(math.log10(FLOAT32) - 7)
    assert finding.message == (
        "The total gradient norm has grown by 10^5.0 since step 2 and overflows in about 32 steps."
    )


@pytest.mark.parametrize(("rate", "limit"), [(0.7, FLOAT32), (2.0, FLOAT32), (0.9, 1e100)], ids=str)
def test_the_forecast_is_the_step_at_which_the_norm_passes_the_dtypes_limit(rate, limit):
    norms = [10 ** (rate * i) for i in range(8)]
    left = only(TV202, window(steps(norms, limit=limit))).evidence["steps_to_overflow"]
    assert isinstance(left, float)
    assert rate * (7 + left) == pytest.approx(math.log10(limit))


def test_float16_overflows_sooner_and_a_forecast_is_never_negative():
    finding = only(TV202, window(steps([10.0**i for i in range(8)], limit=65504.0)))
    assert finding.message.endswith("overflows in about 0 steps.")


def test_without_a_table_of_gradients_the_limit_of_float32_is_taken():
    left = only(TV202, window(steps([10.0**i for i in range(8)], limit=None))).evidence["steps_to_overflow"]
    assert left == pytest.approx(math.log10(3.4e38) - 7)


def test_a_gradient_table_without_rows_is_no_obstacle():
    run = [
        Snapshot(i, {"gradient_norm": 10.0**i, "loss": 1.0}, {}, {"gradient": table("gradient", ())})
        for i in range(8)
    ]
    assert not silent(TV202, window(run))


@pytest.mark.parametrize(
    ("norms", "losses"),
    [
        pytest.param([10.0**i for i in range(5)], None, id="too few steps"),
        pytest.param([1.5**i for i in range(8)], None, id="less than three decades"),
        pytest.param([10.0**-i for i in range(8)], None, id="shrinking"),
        pytest.param([10.0**i for i in range(8)], [8.0 - i for i in range(8)], id="while the loss falls"),
        pytest.param([1.0, 1, 1, 1, 1, 1, 1, 1e6], None, id="one spike"),
        pytest.param([1.0] * 8, None, id="constant"),
        pytest.param([0.0] * 8, None, id="zero"),
        pytest.param([math.inf] * 8, None, id="overflowed already"),
        pytest.param([math.nan] * 8, None, id="nan"),
        pytest.param([10.0**i for i in range(8)] + [1.0] * 6, None, id="over long ago"),
        pytest.param([1e9] + [10.0**i for i in range(8)], None, id="no higher than before"),
    ],
)
def test_what_does_not_grow_steadily_over_time_is_nothing(norms, losses):
    assert silent(TV202, window(steps(norms, losses=losses)))


@pytest.mark.parametrize("seed", range(20))
def test_heavy_tailed_norms_of_a_clipped_recurrent_net_are_healthy(seed):
    norms = np.exp(2.5 * np.random.default_rng(seed).standard_normal(400))
    run = list(steps(norms.tolist()))
    assert [n for n in range(1, len(run), 5) if not silent(TV202, window(run[:n]))] == []


def test_a_loss_that_nobody_told_does_not_hide_the_growth():
    run = [Snapshot(i, {"gradient_norm": 10.0**i}) for i in range(8)]
    assert not silent(TV202, window(run))


# -- laws


norms = st.sampled_from([1.0, 8.0, 64.0, 2.0**20])
runs = st.lists(st.tuples(profiles(), norms), min_size=1, max_size=8).map(
    lambda run: [backward(i, decades, gradient_norm=norm) for i, (decades, norm) in enumerate(run)]
)


@given(runs, st.integers(-30, 30))
def test_the_verdict_does_not_change_when_loss_and_gradients_are_scaled(run, power):
    rescaled = window(scaled(s, 2.0**power) for s in run)
    assert verdict(TV202.diagnose(rescaled)) == verdict(TV202.diagnose(window(run)))


@given(st.floats(0.55, 3).filter(lambda rate: abs(5 * rate - 3) > 1e-6), st.integers(-30, 30))
def test_growth_over_time_is_found_at_any_scale(rate, power):
    run = list(steps([10 ** (rate * i) for i in range(8)]))
    rescaled = window(scaled(s, 2.0**power) for s in run)
    assert verdict(TV202.diagnose(rescaled)) == verdict(TV202.diagnose(window(run)))


@given(runs)
def test_two_micro_batches_are_judged_as_the_batch_they_make(run):
    assert list(TV202.diagnose(window(map(halved, run)))) == list(TV202.diagnose(window(run)))


@given(runs, st.data())
def test_a_non_finite_step_changes_nothing_on_the_finite_rest(run, data):
    place = data.draw(st.integers(0, len(run)))
    finite = [type(s)(2 * s.step, s.scalars, s.labels, s.tables) for s in run]
    together = sorted([*finite, broken(finite[0], 2 * place - 1)], key=lambda s: s.step)
    assert verdict(TV202.diagnose(window(together))) == verdict(TV202.diagnose(window(finite)))


@pytest.mark.parametrize("norm", [0.0, 1e-3, 1e9], ids=str)
def test_the_rest_of_an_overflowed_gradient_does_not_enter_the_growth_over_time(norm):
    run = list(steps([10.0**i for i in range(8)]))
    bad = changed(Snapshot(8, {"gradient_norm": norm}, {}, dict(run[0].tables)), "gradient", nonfinite=[1.0])
    assert verdict(TV202.diagnose(window([*run, bad]))) == verdict(TV202.diagnose(window(run)))
