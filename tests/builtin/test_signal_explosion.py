"""TV104 tells growth over depth from a jump; without this every net with a large last layer would be ill."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builtin.depth_runs import forward
from tests.builtin.runs import broken, halved, incidents, only, scaled, silent, verdict, window
from torchvitals.builtin.signal_explosion import SignalExplosion
from torchvitals.core.finding import Severity
from torchvitals.testing import check_diagnostic

TV104 = SignalExplosion()
FLAT = np.ones(10)


def rising(decades: float, sites: int = 10) -> np.ndarray:
    """Mean squares that gain so many decades from the first site to the last."""
    return 10.0 ** np.linspace(0, decades, sites)


@pytest.mark.parametrize(
    ("squares", "severity"),
    [
        pytest.param(rising(6.1), Severity.CRITICAL, id="more than six decades"),
        pytest.param(rising(4.1), Severity.WARNING, id="more than four"),
        pytest.param(rising(3.9), None, id="fewer"),
        pytest.param(rising(9, sites=3), None, id="too shallow to speak of"),
        pytest.param(rising(9, sites=4), Severity.CRITICAL, id="just deep enough"),
        pytest.param(rising(-9), None, id="fading"),
        pytest.param(np.array([*[1.0] * 9, 1e9]), None, id="one large last layer"),
        pytest.param(np.array([1e-9, *[1.0] * 9]), None, id="one small first layer, such as an embedding"),
        pytest.param(np.array([*rising(7)[:-1], 1.0]), None, id="a last layer that undoes it"),
        pytest.param(np.zeros(10), None, id="zeros"),
    ],
)
def test_it_takes_depth_and_a_steady_growth(squares, severity):
    found = list(TV104.diagnose(window([forward(0, squares)])))
    assert [f.severity for f in found] == ([] if severity is None else [severity])


def test_the_finding_names_the_steepest_site_and_then_the_largest():
    squares = rising(5.9)
    squares[4:] *= 10
    finding = only(TV104, window([forward(0, squares)]))
    assert finding.where == ("s4", "s9", "s8", "s7", "s6", "s5")
    assert finding.evidence["steepest_site"] == "s4"
    assert finding.evidence["factor_per_site"] == pytest.approx(10 ** (5.9 / 9))
    assert finding.evidence["last_rms"] == pytest.approx(10 ** (6.9 / 2))
    assert finding.since == 0


def test_what_a_normalisation_follows_is_forgotten():
    ops = ["Linear"] * 9 + ["LayerNorm"]
    squares = np.array([*rising(9)[:-1], 1.0])
    assert silent(TV104, window([forward(0, squares, op=ops)]))
    after = ["BatchNorm1d"] + ["Linear"] * 9
    assert not silent(TV104, window([forward(0, rising(9), op=after)]))


@pytest.mark.parametrize(
    ("op", "gain", "found"),
    [
        pytest.param("RNN", 6.1, True, id="a recurrent net of ReLU"),
        pytest.param("RNN", 5.8, False, id="a sum over a thousand steps"),
        pytest.param("Linear", 9.0, False, id="one large layer"),
    ],
)
def test_states_that_grow_over_a_sequence_are_growth(op, gain, found):
    look = forward(0, [1.0, 10.0**gain, 10.0**gain], op=["Embedding", op, "Linear"])
    if not found:
        assert silent(TV104, window([look]))
        return
    finding = only(TV104, window([look]))
    assert (finding.severity, finding.where) == (Severity.CRITICAL, ("s1",))
    mended = forward(1, [1.0, 1.0, 1.0], op=["Embedding", op, "Linear"])
    assert silent(TV104, window([look, mended]))


def test_training_that_brings_it_back_resolves_it():
    run = [forward(i, rising(7) if i < 3 else FLAT) for i in range(8)]
    (incident,) = incidents(TV104, run)
    assert (incident.onset, incident.last_seen, incident.resolved) == (0, 2, 5)


@pytest.mark.parametrize(
    ("losses", "gain", "found"),
    [
        pytest.param([1.0] * 12, 1e7, True, id="the loss stands still"),
        pytest.param([0.8**i for i in range(12)], 1e7, False, id="the loss falls"),
        pytest.param([1.0] * 12, 1e5, False, id="fewer than six decades"),
    ],
)
def test_a_growth_over_time_counts_where_it_does_harm(losses, gain, found):
    run = [forward(i, FLAT * (gain if i > 4 else 1), loss=x) for i, x in enumerate(losses)]
    assert silent(TV104, window(run)) is not found
    if found:
        finding = only(TV104, window(run))
        assert (finding.severity, finding.since) == (Severity.CRITICAL, 5)
        assert finding.cause == "grown in training: a step too large"


def test_a_branch_that_began_at_nothing_has_not_exploded():
    start = FLAT * 1e-20
    start[0] = 1.0
    run = [forward(i, start if i == 0 else FLAT) for i in range(12)]
    assert silent(TV104, window(run))


steps = st.lists(st.sampled_from([-0.3, 0.11, 0.52, 1.03]), min_size=5, max_size=9)


@given(steps, st.sampled_from([1e-3, 1e4]))
def test_neither_the_loss_nor_micro_batches_nor_a_nan_matter(rises, factor):
    run = [forward(i, 10.0 ** np.cumsum([0.0, *rises])) for i in range(12)]
    expected = verdict(TV104.diagnose(window(run)))
    looks = window(run).snapshots
    assert verdict(TV104.diagnose(window(louder(s, factor) for s in looks))) == expected
    assert verdict(TV104.diagnose(window(halved(s) for s in looks))) == expected
    assert verdict(TV104.diagnose(window([broken(run[0], 0), *run[1:]]))) in (expected, [])


def louder(look, factor):
    return type(look)(
        look.step, {**look.scalars, "loss": look.loss * factor}, look.labels, scaled(look, factor).tables
    )


def test_it_keeps_the_rules_of_the_house():
    check_diagnostic(SignalExplosion, windows=[window([forward(0, rising(9))])])
