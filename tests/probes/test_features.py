"""What is measured of the inputs of the model, against a twin written the slow way in float64."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays
from torch import nn

from tests.probes.looking import look, row, spread_twin
from tests.probes.test_reduce import FLOATS, sizeable
from torchvitals import Schedule
from torchvitals.monitor import Monitor
from torchvitals.probes.boundary import BoundaryProbe
from torchvitals.probes.variation import FEATURES, features

ARRAYS = arrays(np.float32, array_shapes(min_dims=1, max_dims=3, max_side=6), elements=FLOATS.map(sizeable))


def twin(x: np.ndarray) -> dict[str, float]:
    wide = x.astype(np.float64)
    finite = [value for value in wide.flatten().tolist() if math.isfinite(value)]
    known = len(finite) == wide.size and len(wide) > 1
    total, freedom = spread_twin(wide) if known else (0.0, 0.0)
    share = 0.0
    if known and wide.ndim == 2 and wide.shape[1] > 1 and total > 0:
        share = max(spread_twin(wide[:, [i]])[0] for i in range(wide.shape[1])) / total
    return {
        "sum": sum(finite),
        "sum_sq": sum(value * value for value in finite),
        "abs_max": max(map(abs, finite), default=0.0),
        "low": min(finite, default=0.0),
        "high": max(finite, default=0.0),
        "spread": total,
        "freedom": freedom,
        "top_column": share,
    }


@given(ARRAYS)
def test_features_are_those_of_the_float64_twin(x):
    found, slow = dict(zip(FEATURES, features(torch.from_numpy(x)).tolist(), strict=True)), twin(x)
    noise = 1e-6 * slow["sum_sq"]
    if slow["spread"] <= noise:  # rows that are equal up to rounding: whose share it is, is rounding too
        assert 0 <= found.pop("top_column") <= 1
    for name, value in found.items():
        slack = (
            noise if name == "spread" else 1e-3 if name == "top_column" else 0.5 if name == "sum" else 1e-9
        )
        assert value == pytest.approx(slow[name], rel=1e-4, abs=slack), name


def test_one_column_of_another_scale_has_nearly_all_of_the_spread():
    torch.manual_seed(0)
    x = torch.randn(64, 5) * torch.tensor([1, 1, 1000, 1, 1])
    assert features(x)[-1] > 0.999
    assert features(torch.randn(64, 5))[-1] < 0.5
    assert features(x[:, :1])[-1] == features(x.reshape(8, 8, 5))[-1] == 0


def test_features_of_the_model_s_inputs_add_up_over_micro_batches():
    torch.manual_seed(0)
    x = torch.randn(12, 4) * 3 + 1
    (snapshot,) = look(nn.Linear(4, 2), *x.split(6))
    found = row(snapshot["features"], "input")
    assert set(found) == {"count", *FEATURES}
    slow = [twin(part.numpy()) for part in x.split(6)]
    assert found["count"] == 48
    for name in ("sum", "sum_sq", "spread", "freedom"):
        assert found[name] == pytest.approx(slow[0][name] + slow[1][name], rel=1e-5)
    assert found["low"] == x.min()
    assert found["high"] == x.max()
    assert found["top_column"] == pytest.approx(max(s["top_column"] for s in slow), rel=1e-5)


def test_nan_in_the_inputs_leaves_the_rest_to_be_read():
    x = torch.tensor([[1.0, math.nan], [-2.0, math.inf], [3.0, 0.5]])
    (snapshot,) = look(nn.Linear(2, 1), x)
    found = row(snapshot["features"], "input")
    assert (found["low"], found["high"], found["abs_max"], found["sum"]) == (-2, 3, 3, 2.5)
    assert found["spread"] == found["freedom"] == found["top_column"] == 0


def boundary(batches, *, schedule) -> list[set[str]]:
    """Kinds that the probe of the boundary gave at each step, each with a batch that was told."""
    model = nn.Linear(2, 1)
    monitor = Monitor(model, [torch.optim.SGD(model.parameters(), lr=0.1)], schedule=schedule, strict=True)
    probe = BoundaryProbe()
    probe.start(monitor.subject, BoundaryProbe.provides)
    kinds = []
    for step, batch in enumerate(batches):
        due = schedule.due(step)
        if due:
            probe.arm()
        probe.begin(batch, step)
        model(batch["x"])
        kinds.append({f"{m.kind} {name}" for m in probe.collect() for name in m.names})
        if due:
            probe.disarm()
    probe.close()
    monitor.close()
    return kinds


def test_features_are_of_the_batch_where_it_is_told_and_of_due_steps_only():
    batch = {"x": torch.randn(4, 2), "ids": torch.arange(4), "y": torch.randn(4)}
    due = {"input batch", "input batch[1]", "output model", "features batch", "features batch[1]"}
    assert boundary([batch] * 4, schedule=Schedule(dense=0, every=2)) == [due, set(), due, set()]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_in_the_other_steps_only_what_is_not_finite_is_told_of_the_batch(bad):
    bad_batch = {"x": torch.tensor([[1.0, 1.0], [1.0, bad]])}
    seldom = Schedule(dense=0, every=100)
    assert boundary([{"x": torch.ones(2, 2)}, bad_batch], schedule=seldom)[1] == {
        "input batch",
        "output model",
    }


@pytest.mark.parametrize("x", [torch.eye(3).to_sparse(), torch.ones(3, 3, dtype=torch.complex64)])
def test_sparse_and_complex_inputs_have_no_features(x):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.ones(3, 1))

        def forward(self, x):
            return (x.real if x.is_complex() else x) @ self.w

    (snapshot,) = look(Net(), x)
    assert "features" not in snapshot
    assert snapshot["input"].names == ("input",)
