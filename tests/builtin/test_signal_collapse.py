"""TV103 tells a signal that is gone from one that is small; without this zero-initialised branches would be
ill.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builtin.depth_runs import forward, wide
from tests.builtin.runs import broken, halved, incidents, only, scaled, silent, verdict, window
from torchvitals.builtin.signal_collapse import SignalCollapse
from torchvitals.core.finding import Severity
from torchvitals.testing import check_diagnostic

TV103 = SignalCollapse()


def fading(decades: float, sites: int = 10) -> np.ndarray:
    """Mean squares that lose so many decades from the first site to the last."""
    return 10.0 ** -np.linspace(0, decades, sites)


@pytest.mark.parametrize(
    ("decades", "optimizer", "losses", "severity"),
    [
        pytest.param(5.9, "SGD", [1.0], None, id="fewer than six decades"),
        pytest.param(7.5, "SGD", [1.0], Severity.CRITICAL, id="more"),
        pytest.param(7.5, "Adam", [1.0], Severity.INFO, id="more, under Adam"),
        pytest.param(14.0, "Adam", [1.0], Severity.CRITICAL, id="more than Adam mends"),
        pytest.param(7.5, "Adam", [1.0] * 12, Severity.CRITICAL, id="Adam stands still"),
        pytest.param(7.5, "Adam", [0.8**i for i in range(12)], Severity.INFO, id="Adam gets on"),
    ],
)
def test_the_variance_over_samples_decides(decades, optimizer, losses, severity):
    run = [forward(i, fading(decades), loss=x, optimizer=optimizer) for i, x in enumerate(losses)]
    found = list(TV103.diagnose(window(run)))
    assert [f.severity for f in found] == ([] if severity is None else [severity])


def test_the_finding_names_where_most_is_lost_and_where_it_shows():
    squares = fading(7.5)
    squares[3:] /= 10
    finding = only(TV103, window([forward(0, squares)]))
    assert finding.where == ("s3", "s8")
    assert finding.evidence["decades_lost"] == pytest.approx(7.5 * 8 / 9 + 1)
    assert finding.message.startswith("At s8 all samples look alike: their variance has fallen by 10^7.7")
    assert finding.since == 0


@pytest.mark.parametrize(
    ("op", "layers", "cause"),
    [("sigmoid", 8, "activation slope"), ("relu", 20, "initialisation scale")],
)
def test_the_cause_is_where_the_variance_is_lost(op, layers, cause):
    ops = ["Linear", op] * layers + ["Linear"]
    squares = 10.0 ** -np.cumsum([0.0, *([1.0, 0.1] * layers)])
    finding = only(TV103, window([forward(0, squares, op=ops)]))
    assert finding.cause == cause
    assert finding.remedies[0].overrides[-1] == "init=he_normal"


def test_a_residual_sum_around_the_last_hidden_site_keeps_samples_apart():
    squares = np.ones(10)
    squares[-2] = 1e-9
    assert silent(TV103, window([forward(0, squares)]))


def test_a_head_of_zeros_tells_nothing():
    assert silent(TV103, window([forward(0, fading(20), share=[0.5] * 9 + [0.0])]))


def test_a_normalisation_on_the_way_is_where_counting_starts():
    squares = np.array([1e10, 1.0, 1.0, 1.0, 1.0])
    assert silent(
        TV103, window([forward(0, squares, op=["Linear", "BatchNorm1d", "relu", "Linear", "Linear"])])
    )
    assert not silent(TV103, window([forward(0, squares, op="relu")]))


@pytest.mark.parametrize(
    ("share", "losses", "found"),
    [
        pytest.param(1e-5, [1.0] * 12, True, id="alike and standing still"),
        pytest.param(1e-5, [0.8**i for i in range(12)], False, id="alike, and the loss falls"),
        pytest.param(1e-5, [1.0] * 8, False, id="alike, too early to tell"),
        pytest.param(1e-3, [1.0] * 12, False, id="as a sigmoid net of three layers is born"),
    ],
)
def test_samples_that_are_alike_count_where_the_loss_stands_still(share, losses, found):
    run = [forward(i, np.ones(6), share=share, loss=x) for i, x in enumerate(losses)]
    assert silent(TV103, window(run)) is not found
    if found:
        finding = only(TV103, window(run))
        assert (finding.severity, finding.since) == (Severity.WARNING, 0)
        assert finding.evidence["variance_share"] == pytest.approx(share)


def test_samples_that_came_to_look_alike_are_dated_to_when_they_did():
    run = [forward(i, np.ones(6), share=0.5 if i < 7 else 1e-6) for i in range(12)]
    assert only(TV103, window(run)).since == 7


@pytest.mark.parametrize(
    ("weight", "layers", "op", "found"),
    [
        (1 / 3, 20, "relu", True),
        (1 / 3, 6, "relu", False),
        (2.0, 50, "relu", False),
        (1.0, 50, "tanh", False),
    ],
)
def test_wide_nets_are_judged_as_theory_has_them(weight, layers, op, found):
    assert silent(TV103, window([wide(0, [weight] * layers, op=op)])) is not found


def test_training_that_brings_it_back_resolves_it():
    run = [forward(i, fading(9) if i < 3 else np.ones(10)) for i in range(8)]
    (incident,) = incidents(TV103, run)
    assert (incident.onset, incident.last_seen, incident.resolved) == (0, 2, 5)


def test_a_batch_of_one_sample_tells_nothing():
    look = forward(0, fading(20))
    columns = {**look["activation"].columns, "freedom": np.zeros(10), "spread": np.zeros(10)}
    one = type(look["activation"])("activation", look["activation"].names, columns)
    assert silent(TV103, window([type(look)(0, look.scalars, look.labels, {"activation": one})]))


falls = st.lists(st.sampled_from([-0.31, 0.12, 0.53, 1.04]), min_size=5, max_size=9)


@given(falls, st.sampled_from([0.5, 1e-5]), st.sampled_from([1e-3, 1e4]))
def test_neither_the_loss_nor_micro_batches_nor_a_nan_matter(steps, share, factor):
    squares = 10.0 ** -np.cumsum([0.0, *steps, *steps])
    run = [forward(i, squares, share=share) for i in range(12)]
    expected = verdict(TV103.diagnose(window(run)))
    louder = [type(s)(s.step, {**s.scalars, "loss": factor}, s.labels, s.tables) for s in run]
    assert verdict(TV103.diagnose(window(louder))) == expected
    assert verdict(TV103.diagnose(window(scaled(s, factor) for s in run))) == expected
    assert verdict(TV103.diagnose(window(halves(s) for s in run))) == expected
    assert verdict(TV103.diagnose(window([*run, broken(run[-1], 12)]))) == expected


def halves(look):
    """Two micro-batches, over which sums of deviations add up as well."""
    merged = halved(look)["activation"]
    given = type(merged)(
        "activation",
        merged.names,
        {**merged.columns, "spread": look["activation"]["spread"], "freedom": look["activation"]["freedom"]},
    )
    return type(look)(look.step, look.scalars, look.labels, {"activation": given})


def test_it_keeps_the_rules_of_the_house():
    check_diagnostic(SignalCollapse, windows=[window([forward(0, fading(9))])])


def alike(share: float, *, ops=("Linear", "relu", "LayerNorm", "Linear"), dead: bool = False):
    """Twelve looks at a net that stands still, in which samples share all but `share` behind the norm."""
    squares = np.array([1.0, 0.0 if dead else 1.0, 1.0, 1.0])
    return window(forward(i, squares, op=list(ops), share=[0.5, 0.5, share, 0.5]) for i in range(12))


def test_samples_that_look_alike_behind_the_last_normalisation_do():
    finding = only(TV103, alike(1e-6))
    assert (finding.severity, finding.where[0]) == (Severity.WARNING, "s2")
    assert silent(TV103, alike(1e-2))


def test_behind_a_layer_that_died_it_is_the_layer():
    assert silent(TV103, alike(1e-14, dead=True))


def test_samples_that_come_to_look_alike_in_training_were_not_born_so():
    born = [*alike(1e-2).snapshots[:3], *alike(1e-6).snapshots[3:]]
    assert only(TV103, window(born)).cause.startswith("samples have come to look alike in training")
    assert only(TV103, alike(1e-6)).cause == "initialisation scale"
