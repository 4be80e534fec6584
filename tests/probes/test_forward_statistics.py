"""What is measured of a site's output, against twins written the slow way in float64."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays
from torch import nn

from tests.probes.looking import look, row, spread_twin
from tests.probes.test_reduce import FLOATS, sizeable
from torchvitals.probes.variation import dormant, spread

ARRAYS = arrays(np.float32, array_shapes(min_dims=1, max_dims=4, max_side=5), elements=FLOATS.map(sizeable))
LAYOUTS = {"features": (16, 6), "sequence": (8, 5, 6), "image": (8, 6, 4, 3)}


class Call(nn.Module):
    """A linear layer and one functional activation of its output."""

    def __init__(self, activation, width=64):
        super().__init__()
        self.first, self.activation = nn.Linear(4, width), activation

    def forward(self, x):
        return self.activation(self.first(x))


@given(ARRAYS)
def test_spread_is_that_of_the_float64_twin(x):
    found = spread(torch.from_numpy(x)).tolist()
    if len(x) == 1 or not np.isfinite(x).all():
        assert found == [0, 0]
    else:
        total, freedom = spread_twin(x)
        assert found[1] == freedom
        assert found[0] == pytest.approx(total, rel=1e-4, abs=1e-9 * float(np.square(x).sum()))


@pytest.mark.parametrize(
    ("dtype", "scale"), [(torch.float16, 1e4), (torch.bfloat16, 1e30), (torch.float32, 1e30)]
)
def test_spread_does_not_overflow_in_its_dtype(dtype, scale):
    x = (torch.randn(9, 5, generator=torch.Generator().manual_seed(0)) * scale).to(dtype)
    total, freedom = spread_twin(x.double().numpy())
    assert spread(x).tolist() == pytest.approx([total, freedom], rel=1e-5)


def test_what_has_no_two_samples_has_no_spread():
    sparse = torch.eye(3).to_sparse()
    for x in (torch.tensor(3.0), torch.empty(0, 3), torch.empty(3, 0), torch.ones(1, 3), sparse):
        assert spread(x).tolist() == [0, 0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_activations_have_resolution_and_spread(layout):
    torch.manual_seed(0)
    shape = LAYOUTS[layout]
    layer = nn.Conv2d(6, 6, 1) if layout == "image" else nn.Linear(6, 6)
    model, x = nn.Sequential(layer, nn.ReLU(inplace=True)), torch.randn(shape)
    z = layer(x).detach()
    (snapshot,) = look(model, x)
    for name, out in (("0", z), ("1", z.relu())):
        found = row(snapshot["activation"], name)
        assert (found["spread"], found["freedom"]) == pytest.approx(spread_twin(out.numpy()), rel=1e-5)
        assert found["resolution"] == 2.0**-23
    assert set(snapshot["activation_gradient"].columns) == {
        *("op", "count", "limit", "nonfinite", "sum_sq", "abs_max")
    }


def test_micro_batches_pool_their_spread():
    torch.manual_seed(0)
    model, x = nn.Linear(4, 3), torch.randn(12, 4)
    parts = [part.detach().numpy() for part in model(x).split(4)]
    (snapshot,) = look(model, *x.split(4))
    found = row(snapshot["activation"], "model")
    totals, freedoms = zip(*(spread_twin(part) for part in parts), strict=True)
    assert (found["spread"], found["freedom"]) == pytest.approx((sum(totals), sum(freedoms)), rel=1e-5)
    assert found["count"] == 36


def test_a_nan_takes_the_spread_away_and_makes_nothing_dormant_or_saturated():
    x = torch.ones(4, 4)
    x[1, 2] = math.nan
    for activation in (F.relu, torch.tanh):
        (snapshot,) = look(Call(activation), x, loss_fn=lambda out: out.nansum())
        found = row(snapshot["activation"], f"{activation.__name__}")
        assert (found["spread"], found["freedom"]) == (0, 0)
        assert found["nonfinite"] == 64
        if "silence" in snapshot:
            assert not any(row(snapshot["silence"], "relu")["dormant"])


BOUNDS = {
    torch.tanh: lambda y: abs(y) > 0.97,
    torch.sigmoid: lambda y: not 0.03 <= y <= 0.97,
    F.softsign: lambda y: abs(y) > 0.83,
    F.hardsigmoid: lambda y: y in (0, 1),
    F.hardtanh: lambda y: y in (-1, 1),
}


@pytest.mark.parametrize("activation", BOUNDS, ids=lambda f: f.__name__)
def test_saturated_entries_are_those_where_a_bounded_activation_is_flat(activation):
    torch.manual_seed(0)
    model, x = Call(activation), 9 * torch.randn(32, 4)
    out = model(x).detach()
    slow = sum(map(BOUNDS[activation], out.flatten().tolist()))
    (whole,) = look(model, x)
    assert row(whole["saturation"], activation.__name__) == {
        "op": activation.__name__, "count": 32 * 64, "saturated": slow
    }  # fmt: skip
    assert 0 < slow < 32 * 64
    assert "silence" not in whole


def test_halves_of_a_batch_add_up_to_the_saturation_and_silence_of_the_whole():
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 8), nn.ReLU()), 9 * torch.randn(32, 4)
    (whole,) = look(model, x, loss_fn=lambda out: out.sum() * 0)
    (merged,) = look(model, *x.split(16), loss_fn=lambda out: out.sum() * 0)
    assert row(merged["saturation"], "1") == row(whole["saturation"], "1")
    assert row(merged["silence"], "3")["positions"] == 32


def test_a_hardtanh_is_flat_at_its_own_ends_and_one_that_ends_at_zero_is_not_saturated_there():
    torch.manual_seed(0)
    x = torch.randn(32, 4)
    model = Call(lambda z: F.hardtanh(z, -0.5, 0.25))
    out = model(x).detach()
    slow = sum(y in (-0.5, 0.25) for y in out.flatten().tolist())
    (snapshot,) = look(model, x)
    assert row(snapshot["saturation"], "hardtanh")["saturated"] == slow > 0
    (snapshot,) = look(nn.Sequential(nn.Linear(4, 8), nn.ReLU6(), nn.Linear(8, 1)), x)
    assert "saturation" not in snapshot


def dormant_twin(out: np.ndarray, dim: int) -> list[bool]:
    """Unit by unit in float64."""
    units = np.moveaxis(np.abs(out.astype(np.float64)), dim, 0).reshape(out.shape[dim], -1)
    means = [sum(unit) / len(unit) for unit in units.tolist()]
    layer = sum(means) / len(means)
    return [mean <= 0.025 * layer for mean in means]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("inplace", [False, True], ids=["copied", "in-place"])
def test_units_that_give_next_to_nothing_are_dormant_in_every_layout(layout, inplace):
    torch.manual_seed(0)
    image = layout == "image"
    layer = nn.Conv2d(6, 6, 1) if image else nn.Linear(6, 6)
    assert layer.bias is not None
    with torch.no_grad():
        layer.weight *= torch.tensor([1, 0.001, 1, 0, 1, 1.0]).reshape(6, *[1] * (layer.weight.ndim - 1))
        layer.bias.copy_(torch.tensor([0.5, 0.001, 0.5, -3, 0.5, 0.02]))
    model, x = nn.Sequential(layer, nn.ReLU(inplace)), torch.randn(LAYOUTS[layout])
    slow = dormant_twin(layer(x).relu().detach().numpy(), 1 if image else -1)
    (snapshot,) = look(model, x)
    found = row(snapshot["silence"], "1")
    assert found["dormant"] == slow == [False, True, False, True, False, False]
    assert found["fired"] == [True, True, True, False, True, True]


def test_all_units_of_a_layer_that_gives_only_zeros_are_dormant():
    layer = nn.Linear(4, 3)
    nn.init.constant_(layer.bias, -1e3)
    (snapshot,) = look(nn.Sequential(layer, nn.ReLU()), torch.randn(8, 4))
    assert row(snapshot["silence"], "1")["dormant"] == [True] * 3


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_beside_a_unit_that_is_not_finite_none_is_dormant(bad):
    assert not dormant(torch.tensor([[0.0, 1.0, bad]]), 1).any()


def test_dormant_units_are_found_in_half_precision_whose_sums_would_overflow():
    out = torch.full((4096, 3), 60000.0, dtype=torch.float16)
    out[:, 1] = 1.0
    assert dormant(out, 1).tolist() == [False, True, False]


def test_an_activation_of_a_single_number_is_a_site_without_units():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.log_scale = nn.Linear(4, 2), nn.Parameter(torch.zeros(()))

        def forward(self, x):
            return self.linear(x) * F.softplus(self.log_scale)

    (snapshot,) = look(Scaled(), torch.randn(8, 4))
    assert row(snapshot["activation"], "softplus")["freedom"] == 0
    assert "silence" not in snapshot
