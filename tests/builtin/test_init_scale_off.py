"""TV308 blames the initialisation where theory does; without this every deep net would be sent to He's."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builtin.depth_runs import parameters, wide
from tests.builtin.runs import broken, halved, incidents, only, scaled, silent, verdict, window
from tests.builtin.step_runs import called
from torchvitals.builtin.init_scale_off import InitScaleOff
from torchvitals.builtin.parts.chain import Chain
from torchvitals.core.finding import Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.tables import Table
from torchvitals.testing import check_diagnostic

TV308 = InitScaleOff()
TORCH, XAVIER, HE, NORMAL01 = 1 / 3, 1.0, 2.0, 64.0


def same(weight: float, layers: int = 10, **options) -> list[float]:
    return [weight] * layers


def born(weight: float, layers: int = 10, **options) -> Snapshot:
    return wide(0, same(weight, layers), **options)


def renamed(look: Snapshot, name) -> Snapshot:
    """The look with other names of sites, and of the parameters with them."""
    tables = {k: Table(k, tuple(map(name, t.names)), t.columns, t.units) for k, t in look.tables.items()}
    return Snapshot(look.step, look.scalars, look.labels, tables)


def test_torchs_own_initialisation_of_twenty_relu_layers_is_critical_at_the_first_step():
    finding = only(TV308, window([born(TORCH, 20)]))
    assert (finding.severity, finding.since) == (Severity.CRITICAL, 0)
    assert finding.cause == "initialisation scale: weights too small for relu"
    # 0.408 a layer on the 19 ways between 20 layers
    assert finding.evidence["decades_measured"] == pytest.approx(19 * math.log10(6**-0.5))
    assert finding.evidence["decades_predicted"] == pytest.approx(finding.evidence["decades_measured"])
    assert finding.evidence["decades_with_neutral_weights"] == pytest.approx(0, abs=1e-3)
    assert finding.evidence["sigma_w2"] == pytest.approx(1 / 3)
    assert finding.evidence["neutral_sigma_w2"] == pytest.approx(2, rel=1e-3)
    assert finding.evidence["trainable_depth"] == pytest.approx(7.7, abs=0.05)
    assert finding.remedies[0].overrides == ("init=he_normal",)
    assert finding.message == (
        "The signal shrinks by 10^7.4 on its way through 20 layers, as theory predicts (10^7.4) of weights "
        "with fan_in x variance 0.33 behind relu, where 2 keeps it."
    )


@pytest.mark.parametrize(
    ("weight", "layers", "op", "severity"),
    [
        pytest.param(TORCH, 4, "relu", None, id="torch's on four layers"),
        pytest.param(TORCH, 6, "relu", Severity.INFO, id="torch's on six layers"),
        pytest.param(TORCH, 10, "relu", Severity.CRITICAL, id="torch's on ten layers"),
        pytest.param(TORCH, 20, "tanh", Severity.CRITICAL, id="torch's on twenty tanh layers"),
        pytest.param(XAVIER, 20, "relu", Severity.INFO, id="Xavier's for ReLU, twenty layers"),
        pytest.param(XAVIER, 30, "relu", Severity.CRITICAL, id="Xavier's for ReLU, thirty layers"),
        pytest.param(NORMAL01, 3, "relu", Severity.INFO, id="N(0, 1) on three layers"),
        pytest.param(NORMAL01, 4, "relu", Severity.WARNING, id="N(0, 1) on four layers"),
        pytest.param(NORMAL01, 10, "tanh", Severity.WARNING, id="N(0, 1) on ten tanh layers"),
        pytest.param(NORMAL01, 12, "tanh", Severity.CRITICAL, id="N(0, 1) on twelve tanh layers"),
        pytest.param(0.0064, 4, "relu", Severity.CRITICAL, id="N(0, 0.01^2)"),
        pytest.param(HE, 30, "linear", Severity.CRITICAL, id="He's without activations"),
        pytest.param(HE, 100, "relu", None, id="He's for ReLU"),
        pytest.param(HE, 50, "tanh", None, id="He's for tanh"),
        pytest.param(XAVIER, 20, "tanh", None, id="Xavier's for tanh"),
        pytest.param(XAVIER, 40, "selu", None, id="LeCun's for SELU"),
        pytest.param(HE, 30, "gelu", None, id="He's for GELU"),
        pytest.param(XAVIER, 10, "sigmoid", None, id="a sigmoid, which no variance helps"),
        pytest.param(NORMAL01, 30, "sigmoid", None, id="N(0, 1) for a sigmoid"),
        pytest.param(HE, 10, "softmax", None, id="an activation that theory does not know"),
    ],
)
def test_theory_decides(weight, layers, op, severity):
    look = born(weight, layers, op="relu" if op == "softmax" else op)
    if op == "softmax":
        ops = [op if o == "relu" else o for o in look["activation"]["op"]]
        columns = {**look["activation"].columns, "op": np.array(ops)}
        given = Table("activation", look["activation"].names, columns)
        look = Snapshot(0, look.scalars, look.labels, {**look.tables, "activation": given})
    found = list(TV308.diagnose(window([look])))
    assert [f.severity for f in found] == ([] if severity is None else [severity])


@pytest.mark.parametrize("norms", [False, True], ids=["plain", "normalised"])
def test_a_normalisation_makes_theory_wrong_and_all_well(norms):
    assert silent(TV308, window([born(NORMAL01, 20, norms=norms)])) is norms


def test_residual_sums_that_theory_does_not_know_are_left_alone():
    """What was measured stays as it is over the depth, although theory would have it vanish."""
    flat = -np.concatenate([[0.0], np.cumsum([math.log10(6**-0.5)] * 20)])
    assert silent(TV308, window([born(TORCH, 20, jitter=flat)]))


@pytest.mark.parametrize("factor", [0.4, 2.2], ids=["far less", "far more"])
def test_what_theory_explains_by_half_only_is_left_alone(factor):
    step = math.log10(6**-0.5) * (factor - 1)
    assert silent(TV308, window([born(TORCH, 20, jitter=step * np.arange(21))]))


def test_a_small_last_layer_or_one_of_zeros_is_healthy():
    assert silent(TV308, window([born(HE, 10, head=1e-12)]))


def test_a_head_of_zeros_hides_the_gradient_but_not_the_signal():
    look = born(TORCH, 20)
    back = look["activation_gradient"]
    zero = Table("activation_gradient", back.names, {**back.columns, "sum_sq": np.zeros(len(back))})
    look = Snapshot(0, look.scalars, look.labels, {**look.tables, "activation_gradient": zero})
    assert only(TV308, window([look])).message.startswith("The signal shrinks by 10^7.4")


def test_layers_that_are_off_are_named_worst_first_and_the_others_not():
    weights = [HE, HE, 0.02, HE, 0.002, 0.5, HE, HE]
    assert only(TV308, window([wide(0, weights)])).where == ("fc4", "fc2", "fc5")


@pytest.mark.parametrize(
    ("layers", "losses", "severity"),
    [
        pytest.param(7, [1.0] * 12, Severity.WARNING, id="2.3 decades and the loss stands still"),
        pytest.param(7, [0.8**i for i in range(12)], Severity.INFO, id="2.3 decades and the loss falls"),
        pytest.param(7, [1.0] * 5, Severity.INFO, id="too early to tell"),
        pytest.param(5, [1.0] * 12, Severity.INFO, id="1.6 decades"),
    ],
)
def test_a_loss_that_stands_still_makes_a_warning_of_what_was_a_note(layers, losses, severity):
    run = [wide(i, same(TORCH, layers), loss=loss) for i, loss in enumerate(losses)]
    assert only(TV308, window(run)).severity is severity


@pytest.mark.parametrize(
    ("weight", "layers", "losses", "severity"),
    [
        pytest.param(TORCH, 10, [1.0], Severity.INFO, id="3.5 decades"),
        pytest.param(TORCH, 20, [1.0], Severity.CRITICAL, id="7.4 decades"),
        pytest.param(TORCH, 10, [1.0] * 12, Severity.CRITICAL, id="3.5 decades, standing still"),
        pytest.param(NORMAL01, 10, [1.0], Severity.CRITICAL, id="growing"),
    ],
)
def test_adam_makes_up_for_what_shrinks_within_limits(weight, layers, losses, severity):
    run = [wide(i, same(weight, layers), loss=x, optimizer="Adam") for i, x in enumerate(losses)]
    assert only(TV308, window(run)).severity is severity


def test_training_that_brings_the_scale_back_resolves_it():
    run = [wide(i, same(TORCH if i < 4 else HE, 20)) for i in range(9)]
    (incident,) = incidents(TV308, run)
    assert (incident.onset, incident.last_seen, incident.resolved) == (0, 3, 6)


def test_weights_that_go_astray_later_are_not_its_business():
    assert silent(TV308, window([wide(i, same(HE if i == 0 else NORMAL01, 20)) for i in range(5)]))


def test_a_loop_over_one_layer_is_left_alone():
    look = renamed(born(TORCH, 20), lambda n: n.replace("fc7", "fc6#2"))
    assert not silent(TV308, window([born(TORCH, 20)]))
    assert silent(TV308, window([look]))


def test_a_chain_ends_where_widths_do_not_fit():
    look = born(TORCH, 20)
    old = look["parameter"]
    fan_in = np.where((old["fan_in"] > 0) & (np.arange(len(old)) == 20), 63.0, old["fan_in"])
    given = Table("parameter", old.names, {**old.columns, "fan_in": fan_in})
    cut = Snapshot(0, look.scalars, look.labels, {**look.tables, "parameter": given})
    assert [len(Chain.of(s)) for s in (look, cut)] == [20, 10]


def test_a_net_that_overflows_at_once_is_judged_by_what_did_not():
    look = born(NORMAL01, 20)
    table = look["activation"]
    late = np.arange(len(table)) >= 16
    columns = {
        **table.columns,
        "nonfinite": np.where(late, table["count"], 0),
        "sum_sq": np.where(late, 0.0, table["sum_sq"]),
    }
    given = Table("activation", table.names, columns)
    run = [Snapshot(0, {"loss": math.nan}, look.labels, {**look.tables, "activation": given})]
    finding = only(TV308, window(run))
    assert (finding.severity, len(finding.where)) == (Severity.CRITICAL, 7)


@pytest.mark.parametrize(
    ("times", "found"), [(1e2, False), (1e7, True), (1e30, True)], ids=["large", "absurd", "astronomic"]
)
def test_a_parameter_that_is_absurdly_large_was_never_drawn(times, found):
    look = born(HE, 6)
    table = look["parameter"]
    sum_sq = np.where(np.array(table.names) == "fc3.weight", table["sum_sq"] * times**2, table["sum_sq"])
    given = Table("parameter", table.names, {**table.columns, "sum_sq": sum_sq})
    run = window([Snapshot(0, look.scalars, look.labels, {**look.tables, "parameter": given})])
    assert (not silent(TV308, run)) is found
    if found:
        finding = only(TV308, run)
        assert finding.cause == "a parameter that was never initialised"
        assert (finding.severity, finding.where) == (Severity.CRITICAL, ("fc3.weight",))
        assert finding.evidence["times_the_median"] == pytest.approx(times)


def test_parameters_of_which_all_are_large_were_drawn_so():
    look = born(HE, 6)
    given = parameters([1e8] * 7)
    run = window([Snapshot(0, look.scalars, look.labels, {**look.tables, "parameter": given})])
    assert all("never" not in f.cause for f in TV308.diagnose(run))


weights = st.lists(st.sampled_from([0.02, 0.33, 1.0, 2.0, 9.0, 64.0]), min_size=3, max_size=20)


@settings(deadline=None)
@given(weights, st.sampled_from(["relu", "tanh", "gelu"]), st.sampled_from([1e-3, 1e4]))
def test_the_scale_of_the_loss_does_not_matter(given_weights, op, factor):
    run = [wide(i, given_weights, op=op) for i in range(3)]
    plain, other = window(run), window(scaled(s, factor) for s in run)
    assert verdict(TV308.diagnose(plain)) == verdict(TV308.diagnose(other))


@settings(deadline=None)
@given(weights, st.sampled_from(["relu", "tanh", "gelu"]))
def test_neither_micro_batches_nor_a_nan_later_change_the_verdict(given_weights, op):
    run = [wide(i, given_weights, op=op) for i in range(3)]
    expected = verdict(TV308.diagnose(window(run)))
    parts = [halves(s) for s in run]
    assert verdict(TV308.diagnose(window(parts))) == expected
    assert verdict(TV308.diagnose(window([*run, broken(run[-1], 3)]))) == expected


def halves(look: Snapshot) -> Snapshot:
    """Measured on two micro-batches; parameters are measured once a step."""
    rest = {k: t for k, t in look.tables.items() if k != "parameter"}
    merged = halved(Snapshot(look.step, look.scalars, look.labels, rest)).tables
    return Snapshot(look.step, look.scalars, look.labels, {**merged, "parameter": look["parameter"]})


@settings(deadline=None)
@given(st.floats(1.4, 2.6), st.integers(3, 20), st.sampled_from(["SGD", "Adam"]))
def test_weights_near_the_neutral_variance_are_never_accused(weight, layers, optimizer):
    run = window([wide(i, same(weight, layers), optimizer=optimizer) for i in range(12)])
    assert all(f.severity is Severity.INFO for f in TV308.diagnose(run))


def drowned(weights, *, first=40.0, pace=0.9, norms=True, steps=17):
    """A net of which no theory speaks and whose loss begins so many times ln 10."""
    for i in range(steps):
        net, loss = wide(i, weights, norms=norms), called(i, mean=math.log(10) * max(first * pace**i, 1.0))
        yield Snapshot(i, loss.scalars, net.labels, {**net.tables, **loss.tables})


def test_large_layers_are_to_blame_for_a_loss_that_begins_far_too_high_and_stays_there():
    finding = only(TV308, window(drowned([2.0, 133.0, 100.0])))
    assert (finding.severity, finding.where, finding.since) == (Severity.WARNING, ("fc1", "fc2"), 0)
    assert finding.cause == "initialisation scale: weights too large"


@pytest.mark.parametrize(
    "looks",
    [
        pytest.param(drowned([2.0, 133.0, 100.0], first=1.0), id="the loss begins where it should"),
        pytest.param(drowned([2.0, 133.0, 100.0], pace=0.8), id="it comes down at once"),
        pytest.param(drowned([2.0, 133.0, 100.0], steps=16), id="too early to say"),
        pytest.param(drowned([2.0, 2.0, 2.0]), id="no layer is large"),
    ],
)
def test_large_layers_behind_normalisations_do_no_harm(looks):
    assert silent(TV308, window(looks))


def test_it_keeps_the_rules_of_the_house():
    check_diagnostic(InitScaleOff, windows=[window([born(TORCH, 20)]), window([born(NORMAL01, 20)])])
