"""TV206 tells a missing zero_grad at once; without it a run would diverge hundreds of steps later."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builtin.runs import incidents, only, silent, verdict, window
from torchvitals.builtin.gradients_accumulate import GradientsAccumulate
from torchvitals.core.finding import Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.testing import check_diagnostic, table

TV206 = GradientsAccumulate()


def look(
    step: int,
    unzeroed: Sequence[float] = (1.0,),
    *,
    norm: float = 1.0,
    names: Sequence[str] = ("g.weight", "d.weight"),
) -> Snapshot:
    """A look at which each optimizer's gradients had not been emptied, or had been."""
    rows = table("witness", names[: len(unzeroed)], unzeroed=list(unzeroed), sum_sq=norm**2)
    return Snapshot(step, {"loss": 1.0}, {}, {"witness": rows})


def test_a_missing_zero_grad_is_critical_at_the_third_step():
    # The first step has none before it, so that nothing can be said of it.
    runs = [look(0, [0.0]), look(1, norm=2.0), look(2, norm=3.0)]
    assert silent(TV206, window(runs[:2]))
    finding = only(TV206, window(runs))
    assert (finding.severity, finding.since, finding.where) == (Severity.CRITICAL, 1, ("optimizer",))
    assert finding.cause == "zero_grad is missing"
    assert finding.evidence == {"looks": 2, "growth": 1.5, "optimizers_affected": 1}


def test_gradients_that_are_emptied_are_healthy():
    assert silent(TV206, window(look(i, [0.0]) for i in range(60)))


def test_one_step_without_emptying_is_forgiven():
    runs = [look(i, [float(i % 7 == 3)]) for i in range(40)]
    assert all(silent(TV206, window(runs[:n])) for n in range(1, 41))


def test_of_two_optimizers_the_one_that_is_not_emptied_is_named():
    finding = only(TV206, window(look(i, [0.0, 1.0]) for i in range(4)))
    assert finding.where == ("d.weight",)


def test_gradients_of_exactly_0_pile_up_to_nothing():
    assert silent(TV206, window(look(i, norm=0.0) for i in range(9)))


def test_looks_without_a_step_of_that_optimizer_do_not_break_the_row():
    away = [look(i, [0.0], names=("d.weight",)) for i in (2, 3)]
    assert not silent(TV206, window([look(1), *away, look(4)]))


def test_a_zero_grad_that_is_added_ends_the_incident():
    (incident,) = incidents(TV206, [look(i, [float(1 <= i < 5)]) for i in range(12)])
    assert (incident.onset, incident.last_seen, incident.resolved) == (1, 4, 7)


@given(st.lists(st.booleans(), min_size=1, max_size=20), st.sampled_from([1e-6, 1e3]))
def test_the_verdict_follows_the_last_two_looks_whatever_the_scale(unzeroed, factor):
    runs = [look(i, [float(u)]) for i, u in enumerate(unzeroed)]
    loud = [look(i, [float(u)], norm=factor) for i, u in enumerate(unzeroed)]
    assert silent(TV206, window(runs)) is not (len(unzeroed) > 1 and unzeroed[-1] and unzeroed[-2])
    assert verdict(TV206.diagnose(window(runs))) == verdict(TV206.diagnose(window(loud)))


@pytest.mark.parametrize("looks", [1, 5])
def test_as_many_looks_are_needed_as_were_asked_for(looks):
    runs = [look(i) for i in range(looks)]
    assert silent(GradientsAccumulate(looks=looks), window(runs[:-1]))
    assert not silent(GradientsAccumulate(looks=looks), window(runs))


def test_it_keeps_the_rules_of_the_house():
    check_diagnostic(GradientsAccumulate, windows=[window(look(i) for i in range(3))])
