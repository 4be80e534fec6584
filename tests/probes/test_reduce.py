"""Every reduction against its slow float64 twin."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from torchvitals.core.tables import NONE_BAD, ROWS
from torchvitals.probes.reduce import first_bad, summarise, summarise_each, tensors
from torchvitals.probes.twins import twins
from torchvitals.probes.variation import spread_each

FLOATS = st.one_of(
    st.floats(-1e6, 1e6, width=32), st.sampled_from([float("nan"), float("inf"), -float("inf"), 0.0])
)
ARRAYS = arrays(np.float32, array_shapes(min_dims=1, max_dims=3, max_side=7), elements=FLOATS)


def sizeable(x: float) -> float:
    """The same, or 0 where float32 would lose its square."""
    return 0.0 if abs(x) < 1e-15 else x


def twin(x: np.ndarray) -> list[float]:
    wide = x.astype(np.float64)
    finite = wide[np.isfinite(wide)]
    bad = float(wide.size - finite.size)
    return [bad, finite.sum(), np.square(finite).sum(), np.abs(finite).max(initial=0.0)]


@given(ARRAYS)
def test_summary_is_that_of_the_float64_twin(x):
    np.testing.assert_allclose(summarise(torch.from_numpy(x)).numpy(), twin(x), rtol=1e-5, atol=0.5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_no_dtype_overflows_in_its_own_summary(dtype):
    x = torch.full((64, 64), torch.finfo(dtype).max if dtype is not torch.float64 else 1e100, dtype=dtype)
    bad, _, sum_sq, abs_max = summarise(x).tolist()
    assert bad == 0
    assert abs_max == float(x[0, 0])
    assert sum_sq == pytest.approx(4096 * float(x[0, 0]) ** 2, rel=1e-6)


def test_a_view_with_holes_and_a_sparse_gradient_are_summarised_by_what_they_hold():
    x = torch.arange(24.0).reshape(4, 6)
    np.testing.assert_allclose(summarise(x.T[::2]).numpy(), twin(x.T[::2].numpy()))
    sparse = torch.sparse_coo_tensor(
        torch.tensor([[1, 1, 3]]), torch.tensor([1.0, 2.0, -5.0]), (6,), check_invariants=True
    )
    assert summarise(sparse).tolist() == pytest.approx([0, -2, 34, 5])


def test_an_empty_tensor_has_an_empty_summary():
    assert summarise(torch.empty(0, 3)).tolist() == [0, 0, 0, 0]


@given(st.integers(0, 50), st.lists(st.booleans(), min_size=1, max_size=20))
def test_first_bad_names_batch_and_row(batch, bad):
    x = torch.zeros(len(bad), 3)
    x[torch.tensor(bad), 1] = float("nan")
    place = float(first_bad(x, batch))
    assert place == (batch * ROWS + bad.index(True) if any(bad) else NONE_BAD)


def test_tensors_are_found_in_whatever_modules_return():
    from dataclasses import dataclass

    @dataclass
    class Output:
        logits: torch.Tensor
        note: str = "x"

    a, b, c = torch.zeros(1), torch.ones(1), torch.ones(2)
    found = list(tensors({"x": (a, [Output(b)]), "ids": torch.tensor([1]), "y": c}))
    assert [id(t) for t in found] == [id(a), id(b), id(c)]


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_twins_are_rows_that_agree_up_to_rounding_at_any_scale(scale):
    row = torch.randn(50, generator=torch.Generator().manual_seed(0)) * scale
    w = torch.stack([row, row * (1 + 1e-7), row * 1.01, torch.zeros(50), torch.zeros(50)])
    assert twins(w).tolist() == [True, False, False, True]


@pytest.mark.parametrize("shape", [(2, 3), (40, 50), (300, 100)], ids=["tiny", "small", "large"])
@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1.0, 1e15, 1e25])
@pytest.mark.parametrize("offset", [0.0, 1.0, 100.0])
def test_statistics_hold_over_all_sizes_and_scales(shape, scale, offset):
    generator = torch.Generator().manual_seed(0)
    x = (torch.randn(shape, generator=generator) + offset) * scale
    wide = x.double()
    summary = summarise_each(x[None])
    expected = [wide.sum().item(), wide.square().sum().item(), wide.abs().max().item()]
    assert summary[0, 0] == 0
    assert summary[0, 1].item() == pytest.approx(expected[0], rel=1e-5, abs=1e-5 * expected[1] ** 0.5)
    assert summary[0, 2:].tolist() == pytest.approx(expected[1:], rel=1e-5)
    deviations = (wide - wide.mean(0)).square().sum().item()
    for known in (None, summary[:, 2]):
        assert spread_each(x[None], known)[0].tolist() == pytest.approx(
            [deviations, x.numel() - shape[1]], rel=1e-4
        )


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("shape", [(4, 3, 5), (1, 300, 100)], ids=["together", "large"])
def test_what_is_not_finite_is_counted_and_left_out(shape, bad):
    xs = torch.ones(shape)
    xs[0, 1, 2] = bad
    (nonfinite, total, squares, extreme), *others = summarise_each(xs).tolist()
    left = math.prod(shape[1:]) - 1
    assert [nonfinite, total, squares, extreme] == pytest.approx([1, left, left, 1])
    assert all(row == pytest.approx([0, left + 1, left + 1, 1]) for row in others)
    assert spread_each(xs)[0].tolist() == [0, 0]
