"""TV602 names the guilty rank; without this the average would hide whose data or hardware is broken."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builtin.runs import only, silent, verdict, window
from torchvitals.builtin.rank_outlier import RankOutlier
from torchvitals.core.finding import Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.testing import check_diagnostic, table

TV602 = RankOutlier()


def look(step: int, norms=(1.0, 1.1, 0.9, 1.0), *, nonfinite: Any = 0.0) -> Snapshot:
    """Ranks whose local gradients have these norms."""
    names = tuple(f"rank {i}" for i in range(len(norms)))
    rows = table("rank_gradient", names, count=64, nonfinite=nonfinite, sum_sq=np.square(norms))
    return Snapshot(step, {"loss": 1.0}, {}, {"rank_gradient": rows})


def test_a_rank_with_nan_is_critical_at_one_look():
    finding = only(TV602, window([look(0), look(1), look(2, nonfinite=[0, 0, 5, 0])]))
    assert (finding.severity, finding.since, finding.where) == (Severity.CRITICAL, 2, ("rank 2",))
    assert finding.evidence["nonfinite"] == 5


def test_of_two_ranks_the_broken_one_is_named():
    assert only(TV602, window([look(0, (1.0, 1.0), nonfinite=[0, 3])])).where == ("rank 1",)


@pytest.mark.parametrize("nonfinite", [[5, 5, 5, 5], [0, 5, 5, 5]], ids=["all", "most"])
def test_nan_on_most_ranks_is_no_matter_of_one(nonfinite):
    assert silent(TV602, window([look(i, nonfinite=nonfinite) for i in range(6)]))


def lost(step: int, *first: float) -> Snapshot:
    """All gradients are bad by now; the losses were lost at these steps."""
    names = tuple(f"rank {i}" for i in range(len(first)))
    rows = table("rank_gradient", names, count=64, nonfinite=9.0, sum_sq=0.0, first_step=list(first))
    return Snapshot(step, {"loss": math.nan}, {}, {"rank_gradient": rows})


def test_the_rank_that_lost_its_loss_first_is_named_when_all_are_poisoned():
    finding = only(TV602, window([look(0, (1.0, 1.0)), lost(64, 41, 40)]))
    assert (finding.severity, finding.since, finding.where) == (Severity.CRITICAL, 40, ("rank 1",))
    assert finding.message == "Of 2 ranks only rank 1 had a loss that was not finite at step 40."


def test_ranks_that_lost_their_loss_together_are_not_to_blame():
    assert silent(TV602, window([lost(64, 40, 40)]))


def test_what_overflows_under_a_scaler_is_meant_to():
    run = [look(i, nonfinite=[0, 0, 5, 0]) for i in range(6)]
    assert silent(TV602, window([replace(s, scalars={**s.scalars, "loss_scale": 65536.0}) for s in run]))


def test_a_rank_that_could_not_be_measured_is_no_outlier():
    absent = [0.0, 64.0, 64.0]
    rows = table("rank_gradient", ("rank 0", "rank 1", "rank 2"), count=absent, sum_sq=[0.0, 1.0, 1.0])
    assert silent(TV602, window([Snapshot(i, {"loss": 1.0}, {}, {"rank_gradient": rows}) for i in range(8)]))


def test_nan_that_is_gone_is_over():
    assert silent(TV602, window([look(0, nonfinite=[0, 0, 5, 0]), look(1)]))


@pytest.mark.parametrize(
    ("norm", "cause"),
    [
        (50, "data or settings of that rank differ"),
        (0.02, "data or settings of that rank differ"),
        (0, "that rank has no gradient"),
    ],
)
def test_a_rank_that_is_far_from_the_others_for_five_looks_is_a_warning(norm, cause):
    run = [look(i, (1, 1.2, norm, 0.8) if i >= 3 else (1, 1, 1, 1)) for i in range(8)]
    assert silent(TV602, window(run[:-1]))
    finding = only(TV602, window(run))
    assert (finding.severity, finding.since, finding.where) == (Severity.WARNING, 3, ("rank 2",))
    assert finding.cause == cause


def test_another_rank_at_each_look_is_chance():
    run = [look(i, np.where(np.arange(4) == i % 4, 50.0, 1.0)) for i in range(20)]
    assert silent(TV602, window(run))


def test_heavy_tails_are_chance():
    rng = np.random.default_rng(0)
    run = [look(i, np.exp(rng.standard_t(3, 8))) for i in range(60)]
    assert all(silent(TV602, window(run[: n + 1])) for n in range(60))


def test_of_two_ranks_nobody_can_tell_which_one_is_odd():
    assert silent(TV602, window([look(i, (1, 1000)) for i in range(10)]))


def test_looks_that_were_broken_do_not_count():
    run = [look(i, (1, 1.2, 50, 0.8), nonfinite=[0, 0, 0, 5.0 * (i < 3)]) for i in range(7)]
    assert silent(TV602, window(run))


@given(st.integers(-30, 30), st.sampled_from([1.0, 8.0, 12.0, 1e6, 0.05]))
def test_the_scale_of_the_gradients_does_not_matter(exponent, norm):
    ours = list(TV602.diagnose(window([look(i, (1, 1, norm)) for i in range(6)])))
    scaled = [look(i, np.array([1, 1, norm]) * 2.0**exponent) for i in range(6)]
    assert verdict(ours) == verdict(TV602.diagnose(window(scaled)))
    assert bool(ours) == (max(norm, 1 / norm) > 10)


def test_it_keeps_the_rules_of_the_house():
    far = window([look(i, (1, 1, 99)) for i in range(6)])
    check_diagnostic(RankOutlier, windows=[far, window([look(0, nonfinite=[1, 0, 0, 0])])])
