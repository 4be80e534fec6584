"""Medians are those of numpy, digit for digit; without this a threshold would be met at another look."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from torchvitals.builtin.parts.middle import SIGMA, median, medians, smooth, spread

NUMBERS = st.floats(-1e150, 1e150, allow_subnormal=False)


@given(st.lists(NUMBERS | st.just(np.nan) | st.just(np.inf), min_size=1, max_size=9))
def test_a_median_is_that_of_numpy_also_where_a_number_is_none(values):
    assert np.array_equal(median(values), np.median(values), equal_nan=True)
    assert np.array_equal(medians(np.array([values])), [np.median(values)], equal_nan=True)


def test_nothing_has_no_median():
    assert np.isnan(median([]))


@given(st.lists(NUMBERS, min_size=1, max_size=20))
def test_a_spread_is_that_of_the_median_absolute_deviation(values):
    assert spread(values) == SIGMA * np.median(np.abs(np.array(values) - np.median(values)))


@given(arrays(float, st.integers(1, 30), elements=NUMBERS), st.integers(1, 12))
def test_a_running_median_is_that_of_every_stretch(values, width):
    width = min(width, len(values))
    slow = [np.median(values[i : i + width]) for i in range(len(values) - width + 1)]
    assert smooth(values, width).tolist() == slow
