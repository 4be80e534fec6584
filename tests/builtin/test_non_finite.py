"""TV203 names the place where a NaN was born; without this the user would be sent to the wrong layer."""

import math
from typing import Any

import numpy as np
import pytest

from tests.builtin.runs import changed, incidents, only, silent, window
from torchvitals.builtin.non_finite import NonFinite
from torchvitals.core.finding import Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.tables import ROWS
from torchvitals.testing import table

TV203 = NonFinite()
SITES = ("conv", "act", "head")
WEIGHTS = ("conv.weight", "head.weight", "head.bias")
ROWS_OF = {
    "input": ("batch", "batch[1]"),
    "parameter": WEIGHTS,
    "activation": SITES,
    "output": ("model",),
    "activation_gradient": SITES,
    "gradient": WEIGHTS,
    "update": WEIGHTS,
}
DUE = tuple(ROWS_OF)
"""Kinds that are measured at a due step."""
ALWAYS = ("input", "output", "gradient")


def healthy(step: int, kinds: tuple[str, ...] = DUE, **scalars: float) -> Snapshot:
    tables = {kind: table(kind, ROWS_OF[kind]) for kind in kinds}
    return Snapshot(step, {"loss": 1.0, "iteration": float(step), **scalars}, {}, tables)


def ill(snapshot: Snapshot, **where: list[int]) -> Snapshot:
    """The snapshot with NaN in these rows of these kinds."""
    for kind, rows in where.items():
        bad = np.zeros(len(snapshot[kind]))
        bad[rows] = 3
        snapshot = changed(snapshot, kind, nonfinite=bad)
    return snapshot


def lossy(snapshot: Snapshot, loss: float) -> Snapshot:
    return Snapshot(snapshot.step, {**snapshot.scalars, "loss": loss}, snapshot.labels, snapshot.tables)


AFTER: dict[str, dict[str, Any]] = {
    "optimizer": {"update": [1]},
    "backward": {"gradient": [0, 1], "activation_gradient": [0, 1]},
    "loss": {},
    "forward": {"activation": [1, 2], "output": [0]},
    "parameters": {"parameter": [0]},
    "input": {"input": [0], "output": [0]},
}
"""What is bad where an origin is given, last in the order of evaluation first."""


@pytest.mark.parametrize("origin", AFTER)
def test_the_origin_is_the_first_bad_place_in_the_order_of_evaluation(origin):
    look = healthy(7)
    for place, rows in AFTER.items():  # all that follows from it is bad, too
        look = lossy(ill(look, **rows), math.nan) if place == "loss" else ill(look, **rows)
        if place == origin:
            break
    finding = only(TV203, window([healthy(6), look]))
    assert (finding.evidence["origin"], finding.severity, finding.since) == (origin, Severity.CRITICAL, 7)
    assert finding.evidence["iteration"] == 7


@pytest.mark.parametrize("origin", AFTER)
def test_each_origin_is_found_where_it_is_all_that_is_known(origin):
    look = lossy(healthy(0), math.inf) if origin == "loss" else ill(healthy(0), **AFTER[origin])
    assert only(TV203, window([look])).evidence["origin"] == origin


def test_a_finite_run_is_healthy():
    assert silent(TV203, window(healthy(i) for i in range(30)))


def test_bad_data_names_batch_row_and_entries():
    look = changed(ill(healthy(0), input=[1], output=[0]), "input", first_bad=[2.0**53, 5 * ROWS + 17])
    finding = only(TV203, window([look]))
    assert finding.message == "Row 17 of batch[1] in batch 5 holds NaN or Inf (3 entries)."
    assert (finding.where, finding.cause) == (("batch[1]",), "bad data")
    assert finding.evidence == {"origin": "input", "iteration": 0, "batch": 5, "row": 17, "entries": 3}


def test_a_mask_of_inf_that_does_no_harm_is_nothing_and_not_the_origin_of_a_later_nan():
    masked = [ill(healthy(i), input=[1]) for i in range(5)]
    assert silent(TV203, window(masked))
    later = ill(healthy(5), input=[1], gradient=[0])
    assert only(TV203, window([*masked, later])).evidence["origin"] == "backward"


def test_parameters_that_were_bad_from_the_start_are_told_from_those_that_became_so():
    first = only(TV203, window([ill(healthy(0), parameter=[1, 2])]))
    later = only(TV203, window([healthy(4), ill(healthy(5), parameter=[1, 2])]))
    assert first.where == ("head.weight", "head.bias")
    assert first.message == "The parameter head.weight held NaN or Inf before the forward pass."
    assert first.cause == "weights that were never initialised, or a bad checkpoint"
    assert later.message.endswith("before the forward pass, changed since step 4.")
    assert later.cause == "bad parameters"


def test_the_first_module_in_execution_order_is_named():
    finding = only(TV203, window([ill(healthy(0), activation=[1, 2])]))
    assert finding.where == ("act", "head")
    assert finding.message == "act is the first module to give NaN or Inf, from finite inputs."
    assert (finding.cause, finding.evidence["sites_affected"]) == ("undefined operation", 2)


@pytest.mark.parametrize(
    ("before", "now", "cause"),
    [
        pytest.param(2.0, 2.0, "undefined operation", id="small values"),
        pytest.param(2.0, 1e37, "overflow", id="large now"),
        pytest.param(1e37, 2.0, "overflow", id="large when last seen"),
        pytest.param(2.0, 3e36, "undefined operation", id="just below a hundredth of the limit"),
    ],
)
def test_values_near_the_dtypes_limit_make_it_an_overflow(before, now, cause):
    run = [changed(healthy(i), "activation", abs_max=[x] * 3) for i, x in enumerate((before, now))]
    assert only(TV203, window([run[0], ill(run[1], activation=[2])])).cause == cause


def test_large_values_two_sites_before_are_not_the_reason():
    look = changed(ill(healthy(0), activation=[2]), "activation", abs_max=[1e38, 2, 2])
    assert only(TV203, window([look])).cause == "undefined operation"


def test_a_step_that_was_not_due_says_that_the_module_is_not_known():
    finding = only(TV203, window([lossy(ill(healthy(40, ALWAYS), output=[0]), math.nan)]))
    assert (finding.where, finding.evidence["origin"]) == (("model",), "forward")
    assert finding.message == (
        "The model's output holds NaN or Inf at step 40, from finite inputs; that step was not due, so the "
        "module is not known."
    )


def test_a_nan_between_the_modules_is_not_blamed_on_the_loss():
    finding = only(TV203, window([lossy(ill(healthy(0), output=[0]), math.nan)]))
    assert (finding.where, finding.evidence["origin"]) == (("model",), "forward")
    assert "all modules gave finite values" in finding.message


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf], ids=str)
def test_a_bad_loss_of_finite_outputs_counts_even_with_finite_gradients(loss):
    finding = only(TV203, window([lossy(healthy(0), loss)]))
    assert finding.message == f"The loss is {loss} although the model's output is finite."
    assert finding.evidence["loss"] == str(loss)


def test_a_bad_loss_at_a_step_without_tables_counts():
    assert only(TV203, window([healthy(0), Snapshot(1, {"loss": math.nan})])).since == 1


def test_the_backward_pass_is_searched_from_its_start():
    look = ill(healthy(0), activation_gradient=[0, 1], gradient=[0])
    finding = only(TV203, window([look]))
    assert finding.where == ("act", "conv")
    assert finding.message.endswith("born in the backward pass between act and what follows it.")


def test_a_backward_pass_of_which_only_parameters_are_known_names_the_last_of_them():
    finding = only(TV203, window([ill(healthy(0, ALWAYS), gradient=[0, 1])]))
    assert finding.where == ("head.weight", "conv.weight")
    assert finding.message.endswith("born in the backward pass at the latest at head.weight.")


def test_a_bad_update_of_good_gradients_is_the_optimizers():
    finding = only(TV203, window([ill(healthy(0), update=[1])]))
    assert finding.where == ("head.weight",)
    assert finding.message == "Gradients are finite but the update of head.weight is not."


def test_the_first_bad_look_wins_whatever_follows():
    run = [healthy(0), ill(healthy(1), gradient=[0]), ill(healthy(2), input=[0], parameter=[0])]
    finding = only(TV203, window(run))
    assert (finding.evidence["origin"], finding.since) == ("backward", 1)


def test_what_a_gradient_scaler_skipped_is_a_note():
    look = ill(healthy(0), gradient=[0])
    skipped = Snapshot(0, look.scalars, {"skipped": "scaler"}, look.tables)
    assert only(TV203, window([skipped])).severity is Severity.INFO


def test_a_run_that_went_on_finite_has_left_its_nan_behind():
    assert silent(TV203, window([healthy(0), ill(healthy(1), gradient=[0]), healthy(2)]))


def test_a_second_nan_is_traced_to_its_own_origin():
    run = [ill(healthy(0), input=[0]), healthy(1), ill(healthy(2), gradient=[0])]
    finding = only(TV203, window(run))
    assert (finding.evidence["origin"], finding.since) == ("backward", 2)


def test_a_skipped_step_does_not_hide_a_later_nan():
    look = ill(healthy(0), gradient=[0])
    skipped = Snapshot(0, look.scalars, {"skipped": "scaler"}, look.tables)
    finding = only(
        TV203, window([skipped, *(healthy(i) for i in range(1, 9)), ill(healthy(9), activation=[0])])
    )
    assert (finding.severity, finding.since) == (Severity.CRITICAL, 9)


def test_a_kind_that_a_plugin_measures_may_hold_what_it_wants():
    look = Snapshot(0, {"loss": 1.0}, {}, {"mask": table("mask", nonfinite=5.0)})
    assert silent(TV203, window([look]))
    assert only(TV203, window([look, ill(healthy(1), gradient=[0])])).since == 1


def test_one_incident_keeps_what_was_said_first():
    run = [healthy(0), ill(healthy(1), gradient=[0]), *(ill(healthy(i), parameter=[0]) for i in range(2, 6))]
    (incident,) = incidents(TV203, run)
    assert (incident.onset, incident.last_seen, incident.evidence["origin"]) == (1, 5, "backward")
