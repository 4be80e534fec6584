"""TV301 tells twins from healthy zeros; without this every zero-initialised gate would be called ill."""

import numpy as np
import pytest

from tests.builtin.runs import incidents, only, silent, window
from torchvitals.builtin.symmetric_units import SymmetricUnits
from torchvitals.core.finding import Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.testing import table

TV301 = SymmetricUnits()
NAMES = ("fc1.weight", "fc2.weight", "fc3.weight", "fc4.weight")


def look(step: int, twins, *, lr: float | None = 0.1, rows=8.0) -> Snapshot:
    """A look at which so many of each matrix's rows were twins."""
    scalars = {"loss": 1.0, **({} if lr is None else {"lr": lr})}
    names = NAMES[: len(twins)]
    return Snapshot(
        step, scalars, {}, {"symmetry": table("symmetry", names, rows=rows, symmetric_rows=twins)}
    )


def test_a_net_that_is_all_zero_is_accused_at_step_0():
    finding = only(TV301, window([look(0, [8, 8, 8, 8])]))
    assert (finding.severity, finding.since) == (Severity.CRITICAL, 0)
    assert finding.where == ("fc1", "fc2", "fc3", "fc4")
    expected = "All units of fc1.weight are copies of one another, and so in 4 of 4 weight matrices."
    assert finding.message == expected
    assert finding.evidence == {"matrices_affected": 4, "matrices": 4}


def test_a_constant_init_of_the_hidden_layers_is_accused_although_the_head_was_drawn():
    finding = only(TV301, window([look(0, [8, 8, 8, 0])]))
    assert finding.where == ("fc1", "fc2", "fc3")


def test_a_zero_last_layer_is_healthy_since_its_rows_get_different_gradients():
    assert silent(TV301, window(look(i, [0, 0, 0, 0]) for i in range(20)))


def test_rows_behind_a_gate_that_starts_at_zero_are_forgiven_at_the_first_step():
    assert silent(TV301, window([look(0, [0, 8, 0, 0])]))


def test_a_zero_initialised_gate_is_healthy_once_the_first_update_has_opened_it():
    assert silent(TV301, window([look(0, [0, 8, 0, 0]), look(1, [0, 0, 0, 0])]))


def test_a_warm_up_that_begins_with_a_rate_of_zero_opens_no_gate_yet():
    warm_up = [look(0, [0, 8, 0, 0], lr=0.0), look(1, [0, 8, 0, 0], lr=0.0), look(2, [0, 8, 0, 0], lr=1e-5)]
    assert silent(TV301, window(warm_up))
    assert not silent(TV301, window([*warm_up, look(3, [0, 8, 0, 0], lr=2e-5)]))


def test_one_matrix_of_twins_is_accused_after_an_update_has_been_made():
    finding = only(TV301, window([look(0, [0, 8, 0, 0]), look(1, [0, 8, 0, 0])]))
    assert (finding.where, finding.since) == (("fc2",), 0)
    assert finding.message == "All units of fc2.weight are copies of one another."


def test_an_update_between_two_looks_counts_although_its_step_was_not_due():
    run = [look(0, [0, 8, 0, 0], lr=0.0), Snapshot(1, {"lr": 0.1}), look(2, [0, 8, 0, 0])]
    assert not silent(TV301, window(run))


def test_a_learning_rate_that_nobody_told_counts_as_one():
    assert not silent(TV301, window([look(0, [0, 8, 0, 0], lr=None), look(1, [0, 8, 0, 0], lr=None)]))


@pytest.mark.parametrize(("twins", "found"), [(3, False), (4, True), (8, True)], ids=str)
def test_half_of_a_matrix_makes_it_symmetric(twins, found):
    assert silent(TV301, window([look(0, [twins] * 4)])) is not found


@pytest.mark.parametrize(("ill", "found"), [(1, False), (2, True)], ids=str)
def test_half_of_all_matrices_is_needed_at_the_first_step(ill, found):
    assert silent(TV301, window([look(0, [8.0] * ill + [0.0] * (4 - ill))])) is not found


def test_units_that_part_in_training_resolve_the_incident():
    (incident,) = incidents(TV301, [look(i, [8] * 4 if i < 3 else [0] * 4) for i in range(7)])
    assert (incident.onset, incident.last_seen, incident.resolved) == (0, 2, 5)


def test_a_parameter_of_the_model_itself_is_named_by_its_own_name():
    given = table("symmetry", ("weight",), rows=4.0, symmetric_rows=4.0)
    assert only(TV301, window([Snapshot(0, {}, {}, {"symmetry": given})])).where == ("weight",)


def test_the_verdict_knows_counts_only_and_so_no_scale():
    assert set(table("symmetry")["rows"]) == {8.0}
    run = [look(i, np.array([8, 8, 8, 0]) * 2, rows=16.0) for i in range(3)]
    small = [look(i, [8, 8, 8, 0]) for i in range(3)]
    assert list(TV301.diagnose(window(run))) == list(TV301.diagnose(window(small)))
