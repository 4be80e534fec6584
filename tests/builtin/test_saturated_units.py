"""TV102 tells saturated layers from gates and outputs; without this every LSTM would be called ill."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builtin.runs import incidents, only, silent, verdict, window
from torchvitals.builtin.saturated_units import SaturatedUnits
from torchvitals.core.finding import Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.tables import Table
from torchvitals.testing import check_diagnostic, table

TV102 = SaturatedUnits()
COUNT = 6400.0


def look(
    step: int,
    shares: Sequence[float],
    *,
    op: str = "tanh",
    loss: float | None = 1.0,
    weight: float = 1.0,
    given: float = 1.0,
    mean: float = 0.0,
    count: float = COUNT,
    rename: Mapping[str, str] | None = None,
) -> Snapshot:
    """Layers `fc0`, `act0`, `fc1`, ... and a head, with these shares of saturated outputs.

    Weights have `weight` for fan-in times mean square, the first layer is given numbers of mean square
    `given`, and the outputs of activations have mean square 0.9 and this `mean`.
    """
    layers = range(len(shares))
    names = [*(name for i in layers for name in (f"fc{i}", f"act{i}")), "head"]
    names = [(rename or {}).get(name, name) for name in names]
    acts = names[1::2]
    ops = ["Linear", op] * len(shares) + ["Linear"]
    squares = np.where(np.array(ops) == op, 0.9, weight)
    squares[0] = weight * given
    weights = [f"{name}.weight" for name in names[::2]]
    tables = {
        "activation": table(
            "activation", names, op=ops, count=count, sum_sq=count * squares, sum=count * mean
        ),
        "saturation": table("saturation", acts, op=op, count=count, saturated=count * np.array(shares)),
        "parameter": table("parameter", weights, fan_in=64.0, count=4096.0, sum_sq=64 * weight),
    }
    return Snapshot(
        step, {"lr": 0.1, **({} if loss is None else {"loss": loss})}, {"optimizer": "SGD"}, tables
    )


@pytest.mark.parametrize(
    ("shares", "severity"),
    [
        pytest.param([0.89] * 4, Severity.CRITICAL, id="N(0, 1) in all layers"),
        pytest.param([0.89, 0.1, 0.1, 0.1], Severity.WARNING, id="one whole layer"),
        pytest.param([0.6, 0.6, 0.1, 0.1], Severity.WARNING, id="half of the layers by half"),
        pytest.param([0.6, 0.1, 0.1, 0.1], Severity.INFO, id="one layer by half"),
        pytest.param([0.14] * 4, None, id="He's"),
        pytest.param([0.49] * 4, None, id="less than half"),
    ],
)
def test_a_net_is_born_saturated(shares, severity):
    found = list(TV102.diagnose(window([look(0, shares)])))
    assert [f.severity for f in found] == ([] if severity is None else [severity])


def test_the_finding_names_the_layers_worst_first():
    finding = only(TV102, window([look(0, [0.7, 0.9, 0.1, 0.8], weight=64.0)]))
    assert (finding.where, finding.since) == (("fc1", "act1", "fc3", "act3", "fc0", "act0"), 0)
    assert (
        finding.message == "90% of the outputs of act1 are at the ends of its range; 3 layers are affected."
    )
    assert finding.cause == "initialisation scale: weights too large"
    assert finding.remedies[0].overrides == ("init=xavier_normal",)


@pytest.mark.parametrize(
    ("weight", "given_square", "cause"),
    [
        (1 / 3, 1e4, "unscaled input"),
        (64.0, 1.0, "initialisation scale: weights too large"),
        (64.0, 16.0, "initialisation scale: weights too large"),
        (16.0, 1e4, "unscaled input"),
        (25.0, 0.1, "initialisation scale: weights too large"),
    ],
)
def test_the_larger_of_inputs_and_weights_is_the_cause(weight, given_square, cause):
    finding = only(TV102, window([look(0, [0.98, 0.1], weight=weight, given=given_square)]))
    assert finding.cause == cause


@pytest.mark.parametrize(("op", "mean"), [("sigmoid", 0.02), ("sigmoid", 0.98), ("tanh", 0.94)])
def test_gates_that_begin_shut_or_open_are_a_note(op, mean):
    square = {0.02: 0.001, 0.98: 0.961, 0.94: 0.9}[mean]
    given = look(0, [0.99] * 4, op=op, mean=mean)
    columns = dict(given["activation"].columns)
    columns["sum_sq"] = np.where(columns["op"] == op, COUNT * square, columns["sum_sq"])
    tables = {**given.tables, "activation": Table("activation", given["activation"].names, columns)}
    assert only(TV102, window([Snapshot(0, {}, {}, tables)])).severity is Severity.INFO


def test_sigmoids_at_both_ends_are_no_gates():
    given = look(0, [0.9] * 4, op="sigmoid", mean=0.5)
    assert only(TV102, window([given])).severity is Severity.CRITICAL


def test_an_output_may_be_as_sure_as_it_likes():
    given = look(0, [0.99], op="sigmoid", mean=0.5)
    rows = [given["activation"].index(name) for name in ("fc0", "act0")]
    assert not silent(TV102, window([given]))
    tables = {**given.tables, "activation": given["activation"].take(rows)}
    assert silent(TV102, window([Snapshot(0, given.scalars, given.labels, tables)]))


def test_the_cells_of_a_recurrent_net_are_left_alone():
    cell = {
        f"{part}{i}": f"cell.{part}" + (f"#{i + 1}" if i else "") for i in range(4) for part in ("fc", "act")
    }
    assert silent(TV102, window([look(0, [0.99] * 4, rename=cell)]))


def test_one_activation_module_behind_several_layers_is_no_cell():
    shared = {f"act{i}": "act" + (f"#{i + 1}" if i else "") for i in range(4)}
    assert only(TV102, window([look(0, [0.99] * 4, rename=shared)])).severity is Severity.CRITICAL


@pytest.mark.parametrize(
    ("losses", "severity"),
    [
        pytest.param([1.0] * 12, Severity.WARNING, id="the loss stands still"),
        pytest.param([0.8**i for i in range(12)], Severity.INFO, id="the loss falls"),
    ],
)
def test_layers_that_saturate_in_training_are_ill_if_it_does_harm(losses, severity):
    run = [look(i, [0.04, 0.9 if i > 5 else 0.04], loss=x) for i, x in enumerate(losses)]
    finding = only(TV102, window(run))
    assert (finding.severity, finding.since, finding.where) == (severity, 6, ("fc1", "act1"))
    assert finding.cause == "saturated in training: a step too large"


def test_one_saturated_batch_is_nothing():
    run = [look(i, [0.99 if i == 8 else 0.04] * 2) for i in range(12)]
    assert all(silent(TV102, window(run[: n + 1])) for n in range(12))


def test_layers_that_recover_resolve_it():
    run = [look(i, [0.9 if i < 4 else 0.2] * 2) for i in range(12)]
    (incident,) = incidents(TV102, run)
    assert incident.resolved is not None


shares = st.lists(st.sampled_from([0.04, 0.14, 0.45, 0.6, 0.9]), min_size=1, max_size=6)


@given(shares, shares, st.sampled_from([1e-3, 1e4]), st.sampled_from([64.0, 1e6]))
def test_neither_the_scale_of_the_loss_nor_the_size_of_the_batch_matter(start, later, factor, count):
    later = (later * 6)[: len(start)]
    run = [look(i, start if i < 4 else later) for i in range(12)]
    other = [look(i, start if i < 4 else later, loss=factor, count=count) for i in range(12)]
    assert verdict(TV102.diagnose(window(run))) == verdict(TV102.diagnose(window(other)))


def test_a_broken_step_is_no_basis():
    bad = look(0, [0.99] * 4)
    columns = {**bad["activation"].columns, "nonfinite": np.full(9, 5.0)}
    tables = {**bad.tables, "activation": Table("activation", bad["activation"].names, columns)}
    assert silent(TV102, window([Snapshot(0, {}, {}, tables)]))


def test_it_keeps_the_rules_of_the_house():
    check_diagnostic(SaturatedUnits, windows=[window([look(0, [0.9] * 4)])])
