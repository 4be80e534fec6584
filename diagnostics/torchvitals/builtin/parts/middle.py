"""Medians of a few numbers; most of the time that numpy's own takes for them goes into checks."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

SIGMA = 1.4826
"""Standard deviation over median absolute deviation of a normal distribution."""


def median(values: Sequence[float] | np.ndarray) -> float:
    """As numpy has it: nan where one of them is nan, and of nothing."""
    ordered = np.sort(np.asarray(values, float))  # a nan comes last
    size = len(ordered)
    if not size or math.isnan(ordered[-1]):
        return math.nan
    middle = ordered[size // 2]
    return float(middle if size % 2 else (ordered[size // 2 - 1] + middle) / 2)


def medians(rows: np.ndarray) -> np.ndarray:
    """Of each row, none of which is empty; shape (rows,)."""
    ordered, size = np.sort(rows, axis=1), rows.shape[1]
    middle = ordered[:, size // 2]
    found = middle if size % 2 else (ordered[:, size // 2 - 1] + middle) / 2
    return np.where(np.isnan(ordered[:, -1]), math.nan, found)


def spread(values: Sequence[float] | np.ndarray) -> float:
    """Standard deviation as the median absolute deviation gives it, which outliers do not move."""
    return SIGMA * median(np.abs(np.asarray(values) - median(values)))


def smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Running median over `width` values, or over all where there are fewer; shape (len - width + 1,)."""
    return medians(sliding_window_view(values, min(width, len(values))))


def comes_down(heights: np.ndarray, *, to: float) -> bool:
    """Whether the last third is lower than `to` times the first: what falls is on its way to recovery."""
    third = max(1, len(heights) // 3)
    return median(heights[-third:]) < to * median(heights[:third])
