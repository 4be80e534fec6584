"""TV601 tells drifted replicas from rounding; without this ranks could train nets of their own unseen."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builtin.runs import incidents, only, silent, verdict, window
from torchvitals.builtin.replica_divergence import ReplicaDivergence
from torchvitals.core.finding import Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.testing import check_diagnostic, table

TV601 = ReplicaDivergence()
COUNT = 10_000


def look(step: int, off=(0.0, 0.0, 0.0, 0.0), *, nonfinite: Any = 0.0, scale: float = 1.0) -> Snapshot:
    """Ranks whose parameters are off those of one another by so many parts of their size."""
    off = np.asarray(off, float)
    rows = table(
        "rank",
        tuple(f"rank {i}" for i in range(len(off))),
        count=COUNT,
        nonfinite=nonfinite,
        sum=scale * (3.0 + off * COUNT),
        sum_sq=scale**2 * COUNT * (1 + off),
    )
    return Snapshot(step, {"loss": 1.0}, {}, {"rank": rows})


def test_replicas_that_differ_from_the_start_are_critical_at_the_second_look():
    assert silent(TV601, window([look(0, (0, 0, 0.3, 0))]))
    finding = only(TV601, window([look(i, (0, 0, 0.3, 0)) for i in range(2)]))
    assert (finding.severity, finding.since, finding.where) == (Severity.CRITICAL, 0, ("rank 2",))
    assert finding.cause == "replicas differ from the start"
    assert finding.evidence["ranks_apart"] == 1


def test_replicas_that_drift_apart_later_were_updated_differently():
    run = [look(i, (0, 0, 0, max(0, i - 5) * 1e-4)) for i in range(12)]
    finding = only(TV601, window(run))
    assert (finding.since, finding.where) == (6, ("rank 3",))
    assert finding.cause == "gradients are not the same on all ranks"


def test_rounding_is_no_divergence():
    assert silent(TV601, window([look(i, (0, 1e-8, -1e-8, 3e-8)) for i in range(5)]))


def test_of_two_ranks_nobody_can_tell_which_is_wrong():
    assert set(only(TV601, window([look(i, (0, 0.1)) for i in range(3)])).where) == {"rank 0", "rank 1"}


def test_a_nan_on_one_rank_only_is_a_difference():
    run = [look(i, nonfinite=[0, 4, 0, 0]) for i in range(2)]
    assert only(TV601, window(run)).where == ("rank 1",)


def test_nan_on_all_ranks_is_not():
    assert silent(TV601, window([look(i, nonfinite=4.0) for i in range(3)]))


def test_replicas_that_are_averaged_now_and_then_are_a_note():
    run = [look(i, (0, 0, 0, 0) if i % 4 == 0 else (0, 0.1, 0, 0)) for i in range(8)]
    finding = only(TV601, window(run))
    assert (finding.severity, finding.cause) == (Severity.INFO, "replicas are averaged now and then")


def test_replicas_made_equal_again_resolve_the_incident():
    (incident,) = incidents(TV601, [look(i, (0, 0.1, 0, 0) if i < 4 else (0, 0, 0, 0)) for i in range(8)])
    assert incident.resolved == 6


def test_one_rank_has_nothing_to_differ_from():
    assert silent(TV601, window([look(i, (0.5,)) for i in range(3)]))


@given(st.integers(-20, 20), st.permutations(range(4)), st.sampled_from([0.0, 1e-8, 1e-3, 0.5]))
def test_neither_the_size_of_the_weights_nor_the_order_of_the_ranks_matters(exponent, order, off):
    parts = np.array([0, 0, off, 0])
    ours = list(TV601.diagnose(window([look(i, parts) for i in range(3)])))
    scaled = list(TV601.diagnose(window([look(i, parts, scale=2.0**exponent) for i in range(3)])))
    assert verdict(ours) == verdict(scaled)
    moved = list(TV601.diagnose(window([look(i, parts[list(order)]) for i in range(3)])))
    assert [len(f.where) for f in ours] == [len(f.where) for f in moved]
    assert all(f.where == (f"rank {order.index(2)}",) for f in moved)


@pytest.mark.parametrize("ranks", [2, 3, 8])
def test_it_keeps_the_rules_of_the_house(ranks):
    off = np.arange(ranks) / 10
    check_diagnostic(ReplicaDivergence, windows=[window([look(i, off) for i in range(3)])])
