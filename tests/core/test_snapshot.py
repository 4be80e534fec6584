"""What a snapshot says of itself; without this a step that overflowed could count as a recovery."""

import math
import pickle

import pytest

from torchvitals.core.errors import FieldError
from torchvitals.core.finding import Severity, severity_of
from torchvitals.core.snapshot import Snapshot, remembered
from torchvitals.testing import look, table


@pytest.mark.parametrize(
    ("snapshot", "nonfinite"),
    [
        pytest.param(Snapshot(0), False, id="nothing known"),
        pytest.param(Snapshot(0, {"loss": math.nan}), True, id="nan loss"),
        pytest.param(Snapshot(0, {"loss": -math.inf}), True, id="infinite loss"),
        pytest.param(Snapshot(0, {"gradient_norm": math.inf}), False, id="another scalar"),
        pytest.param(look(0, ["gradient", "update"]), False, id="finite tables"),
        pytest.param(look(0, ["gradient"], nonfinite=1.0), True, id="one bad table"),
        pytest.param(look(0, ["gradient"], names=()), False, id="a table without rows"),
    ],
)
def test_a_nan_in_any_table_or_in_the_loss_makes_a_snapshot_non_finite(snapshot, nonfinite):
    assert snapshot.nonfinite is nonfinite


@pytest.mark.parametrize(
    ("snapshot", "judgeable"),
    [
        pytest.param(look(0, ["gradient"]), True, id="due"),
        pytest.param(Snapshot(0, {"loss": 1.0}), False, id="without tables"),
        pytest.param(Snapshot(0, tables={"gradient": table("gradient")}, due=False), False, id="not due"),
        pytest.param(look(0, ["gradient"], nonfinite=1.0), False, id="overflowed"),
        pytest.param(look(0, ["gradient"], loss=math.nan), False, id="nan loss"),
    ],
)
def test_only_a_finite_look_can_show_that_all_is_well(snapshot, judgeable):
    assert snapshot.judgeable is judgeable


def test_a_snapshot_is_asked_for_its_tables_by_kind():
    snapshot = look(3, ["gradient"])
    assert "gradient" in snapshot
    assert "update" not in snapshot
    assert snapshot["gradient"] is snapshot.tables["gradient"]
    with pytest.raises(KeyError, match="update"):
        snapshot["update"]


@pytest.mark.parametrize(
    ("value", "severity"),
    [
        (None, None),
        (Severity.INFO, Severity.INFO),
        ("critical", Severity.CRITICAL),
        ("Warning", Severity.WARNING),
    ],
    ids=str,
)
def test_a_severity_can_be_given_by_name_in_any_case(value, severity):
    assert severity_of(value) is severity


@pytest.mark.parametrize("value", ["fatal", 3, ""], ids=repr)
def test_an_unknown_severity_is_refused_with_the_choices(value):
    with pytest.raises(FieldError) as caught:
        severity_of(value)
    assert (
        str(caught.value)
        == f"stop_on={value!r} is not possible. Give None, or one of INFO, WARNING, CRITICAL."
    )


def test_a_snapshot_that_was_read_can_be_pickled_without_what_was_made_of_it():
    snapshot = look(0, ["gradient"])
    fresh = pickle.dumps(snapshot)
    assert remembered(lambda s: s.step)(snapshot) == 0
    assert snapshot.kinds == {"gradient"}
    assert snapshot.loss == 1.0
    assert len(snapshot["gradient"].rms) == len(snapshot["gradient"].norm)
    assert pickle.dumps(snapshot) == fresh
    assert pickle.loads(fresh).to_dict() == snapshot.to_dict()
