"""Medians, overheads and slopes, each with its uncertainty. Intervals are at 95 %."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

RESAMPLES = 1000
"""Draws of a bootstrap."""
Interval = list[float]


def middle(values: Sequence[float]) -> dict[str, Any] | None:
    """Median, quartiles and number; None of nothing."""
    if not len(values):
        return None
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    return {"median": float(median), "quartiles": [float(low), float(high)], "n": len(values)}


def excess(watched: Sequence[float], bare: Sequence[float], kinds: Sequence[str]) -> dict[str, np.ndarray]:
    """What each kind of step costs: differences between the two trainings within each round."""
    differences = np.asarray(watched) - np.asarray(bare)[: len(watched)]
    return {kind: differences[np.array(kinds) == kind] for kind in dict.fromkeys(kinds)}


def pooled(several: Iterable[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Costs of several copies, steps of one kind together."""
    found: dict[str, list[np.ndarray]] = {}
    for costs in several:
        for kind, values in costs.items():
            found.setdefault(kind, []).append(values)
    return {kind: np.concatenate(parts) for kind, parts in found.items()}


def overhead(
    costs: Mapping[str, np.ndarray], counts: Mapping[str, int], once: float, bare: Sequence[float], steps: int
) -> dict[str, Any] | None:
    """Cost over a run of `steps` steps as a share of the bare run: `counts` steps of each kind at the median
    cost of that kind, and `once` seconds. None where a kind that occurs was never measured.

    The interval comes from a bootstrap over the steps of each kind.
    """
    needed = [kind for kind, count in counts.items() if count]
    if any(not len(costs.get(kind, ())) for kind in needed) or not len(bare):
        return None
    numbers = np.random.default_rng(0)
    total = once + sum(counts[kind] * np.median(costs[kind]) for kind in needed)
    drawn = once + sum(counts[kind] * _medians(costs[kind], numbers) for kind in needed)
    low, high = np.quantile(drawn / (steps * _medians(np.asarray(bare), numbers)), [0.025, 0.975])
    return {"share": float(total / (steps * np.median(bare))), "interval": [float(low), float(high)]}


def median_interval(values: Sequence[float]) -> Interval:
    """Of the median, by a bootstrap."""
    drawn = np.quantile(_medians(np.asarray(values), np.random.default_rng(0)), [0.025, 0.975])
    return [float(x) for x in drawn]


def _medians(values: np.ndarray, numbers: np.random.Generator) -> np.ndarray:
    draws = numbers.integers(0, len(values), (RESAMPLES, len(values)))
    return np.median(values[draws], axis=1)


def line(x: Sequence[float], y: Sequence[float]) -> dict[str, Any]:
    """Least squares: slope, intercept and the slope's interval, by a bootstrap over the points."""
    xs, ys = np.asarray(x, float), np.asarray(y, float)
    slope, intercept = _fit(xs, ys)
    draws = np.random.default_rng(0).integers(0, len(xs), (RESAMPLES, len(xs)))
    slopes = [_fit(xs[d], ys[d])[0] for d in draws if np.ptp(xs[d]) > 0]
    low, high = np.quantile(slopes, [0.025, 0.975])
    return {"slope": slope, "intercept": intercept, "interval": [float(low), float(high)]}


def line_of_medians(
    x: Sequence[float], samples: Sequence[np.ndarray], *, logarithms: bool = False
) -> dict[str, Any] | None:
    """Least squares through the medians of samples, with an interval from a bootstrap within each sample.

    With `logarithms` the slope is the b of y = a x^b: 1 is linear. None where a median has no logarithm.
    """
    numbers = np.random.default_rng(0)
    ys = np.array([np.median(sample) for sample in samples])
    drawn = np.array([_medians(np.asarray(sample), numbers) for sample in samples])
    xs = np.asarray(x, float)
    if logarithms:
        if min(xs.min(), ys.min(), drawn.min()) <= 0:
            return None
        xs, ys, drawn = np.log(xs), np.log(ys), np.log(drawn)
    slope, intercept = _fit(xs, ys)
    low, high = np.quantile([_fit(xs, column)[0] for column in drawn.T], [0.025, 0.975])
    return {"slope": slope, "intercept": intercept, "interval": [float(low), float(high)]}


def _fit(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    dx = x - x.mean()
    slope = float((dx * (y - y.mean())).sum() / (dx * dx).sum())
    return slope, float(y.mean() - slope * x.mean())
