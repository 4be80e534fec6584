"""Rates with their uncertainty, from rows of trials."""

import math
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np
from statsmodels.stats.proportion import proportion_confint

Row = dict[str, Any]
RESAMPLES = 4000
"""Bootstrap samples of situations."""


def scores(rows: Sequence[Row]) -> dict[str, Any]:
    """All figures of one judge on one split.

    Rates count every run; a fault that was missed has its cause and its module wrong. Intervals are at 95 %:
    `wilson` takes each situation as one observation, `bootstrap` draws situations with all their runs.
    """
    faults, controls, twins = (
        [row for row in rows if row["sort"] == s] for s in ("fault", "control", "twin")
    )
    found = {
        "recall": Rate(faults, "alarm"),
        "false_alarm_rate": Rate(controls, "alarm"),
        "false_alarm_rate_twins": Rate(twins, "alarm"),
        "cause_top1": Rate(faults, "cause"),
        "module_top1": Rate([row for row in faults if row["module"] is not None], "module"),
        "alert_precision": Rate(rows, "right_alerts", "alerts"),
    }
    return {
        **{name: rate.value for name, rate in found.items()},
        "median_latency_steps": middle(row["latency"] for row in faults),
        "median_betrayal_steps": middle(row["betrayed"] for row in faults),
        "before_betrayal": before_betrayal(faults),
        "errors": sum(bool(row["error"]) for row in rows),
        "n_faults": len({row["name"] for row in faults}),
        "n_controls": len({row["name"] for row in controls}),
        "runs": len(rows),
        "intervals": {name: rate.intervals() for name, rate in found.items()},
    }


class Rate:
    """A ratio of two sums over runs, which come in situations."""

    def __init__(self, rows: Sequence[Row], top: str, bottom: str | None = None) -> None:
        names = sorted({row["name"] for row in rows})
        sums = np.zeros((2, len(names)))
        for row in rows:
            sums[:, names.index(row["name"])] += row[top], row[bottom] if bottom else 1.0
        self._top, self._bottom = sums

    @property
    def value(self) -> float | None:
        total = self._bottom.sum()
        return float(self._top.sum() / total) if total else None

    def intervals(self, *, seed: int = 0) -> dict[str, list[float] | None]:
        """Of Wilson, over as many observations as there are situations with anything to count; and the
        percentiles of a bootstrap over situations, drawn by a generator of its own.
        """
        if self.value is None:
            return {"wilson": None, "bootstrap": None}
        n = int((self._bottom > 0).sum())
        wilson = np.asarray(proportion_confint(self.value * n, n, method="wilson"), float)
        draws = np.random.default_rng(seed).integers(0, len(self._top), (RESAMPLES, len(self._top)))
        top, bottom = self._top[draws].sum(1), self._bottom[draws].sum(1)
        found = np.quantile(top[bottom > 0] / bottom[bottom > 0], [0.025, 0.975])
        return {"wilson": wilson.tolist(), "bootstrap": found.tolist()}


def before_betrayal(faults: Sequence[Row]) -> float | None:
    """Share of the faults with an alarm whose alarm came no later than the loss itself betrayed them."""
    seen = [row for row in faults if row["alarm"]]
    early = [row["betrayed"] is None or row["latency"] <= row["betrayed"] for row in seen]
    return sum(early) / len(early) if early else None


def middle(values: Any) -> float | None:
    """The median of those that are known."""
    known = [x for x in values if x is not None and not math.isnan(x)]
    return float(median(known)) if known else None
