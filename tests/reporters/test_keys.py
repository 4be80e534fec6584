"""Without this file a curve could show something else than its key says: numbers by hand."""

import math

import numpy as np
import pytest

from tests.support.runs import glance, table
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.tables import Table
from torchvitals.reporters.keys import metrics


def of(*tables: Table, **scalars: float) -> dict[str, float]:
    found = metrics(Snapshot(3, scalars, {}, {t.kind: t for t in tables}))
    return {key.removeprefix("vitals/"): value for key, value in found.items()}


def test_step_without_tables_has_scalars_only() -> None:
    assert of(loss=0.5, lr=0.1, gradient_norm=2.0, iteration=9.0) == {
        "loss": 0.5,
        "lr": 0.1,
        "gradient_norm": 2.0,
    }


def test_every_key_lies_under_vitals() -> None:
    assert set(metrics(glance(1))) == {"vitals/loss"}


def test_update_ratio_is_the_median_over_weight_matrices() -> None:
    parameter = table(
        "parameter", {"a.weight": 2.0, "a.bias": 1.0, "b.weight": 4.0, "c.weight": 1.0, "zero": 0.0}
    )
    parameter.columns["count"][:] = [16, 4, 16, 16, 16]
    update = table("update", {"c.weight": 0.5, "a.weight": 0.2, "a.bias": 9.0, "b.weight": 0.8, "zero": 1.0})
    assert of(parameter, update)["update_ratio"] == pytest.approx(0.2)


def test_gain_of_a_norm_is_no_weight_matrix() -> None:
    parameter = table("parameter", {"norm.weight": 2.0, "norm.bias": 1.0})
    assert "update_ratio" not in of(parameter, table("update", {"norm.weight": 1.0, "norm.bias": 1.0}))


def test_span_is_log10_of_first_over_last_among_sites_that_have_a_gradient() -> None:
    gradient = table(
        "activation_gradient", {"frozen": 0.0, "first": 1e-6, "middle": 1.0, "last": 1e-2, "cut": 0.0}
    )
    assert of(gradient)["activation_gradient_span"] == pytest.approx(-4.0)


def test_span_of_one_site_is_no_span() -> None:
    assert "activation_gradient_span" not in of(table("activation_gradient", {"only": 1.0}))


def test_signal_is_the_root_mean_square_of_the_last_site() -> None:
    assert of(table("activation", {"first": 8.0, "last": 6.0}))["signal_rms_last"] == pytest.approx(3.0)


def test_dead_share_is_that_of_the_worst_layer() -> None:
    fired = (np.array([True, True, False, True]), np.array([True, False]), np.array([], dtype=bool))
    silence = Table("silence", ("a", "b", "empty"), {"positions": np.ones(3)}, {"fired": fired})
    assert of(silence)["dead_share"] == pytest.approx(0.5)


def test_nonfinite_counts_over_all_tables() -> None:
    bad = table("gradient", {"a": 1.0, "b": 1.0}, nonfinite=np.array([2.0, 1.0]))
    assert of(bad, table("activation", {"x": 1.0}))["nonfinite"] == 3.0


def test_only_the_loss_may_be_not_finite() -> None:
    overflow = table("activation", {"last": math.inf})
    found = of(overflow, loss=math.nan, gradient_norm=math.inf, lr=math.nan)
    assert math.isnan(found.pop("loss"))
    assert found == {"nonfinite": 0.0}


def test_empty_tables_give_no_numbers() -> None:
    empty = [
        Table(kind, ()) for kind in ("activation", "activation_gradient", "silence", "update", "parameter")
    ]
    columns = {"count": np.zeros(0), "nonfinite": np.zeros(0), "sum_sq": np.zeros(0)}
    assert of(*(Table(t.kind, (), columns) for t in empty)) == {"nonfinite": 0.0}
