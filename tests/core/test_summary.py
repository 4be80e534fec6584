"""One word for a whole run; without this "no data" could be taken for "healthy"."""

from dataclasses import replace

import pytest

from tests.core.test_json import incident
from torchvitals.core.finding import Severity
from torchvitals.core.summary import Cost, Coverage, Summary, verdict_of

INFO = incident({})
WARNING, CRITICAL = (replace(INFO, severity=s) for s in (Severity.WARNING, Severity.CRITICAL))


@pytest.mark.parametrize(
    ("incidents", "verdict"),
    [
        pytest.param((), "healthy", id="nothing found"),
        pytest.param((INFO,), "healthy", id="a note"),
        pytest.param((WARNING,), "suspect", id="a warning"),
        pytest.param((CRITICAL,), "ill", id="a critical one"),
        pytest.param((CRITICAL, INFO), "ill", id="the worst counts"),
        pytest.param((replace(CRITICAL, resolved=9),), "suspect", id="a critical one that is over"),
        pytest.param((replace(WARNING, resolved=9),), "healthy", id="a warning that is over"),
        pytest.param((replace(INFO, resolved=9),), "healthy", id="a note that is over"),
        pytest.param(
            (replace(CRITICAL, resolved=9), replace(CRITICAL, code="TV101", explained_by="TV201")),
            "ill",
            id="a symptom that outlives its cause",
        ),
        pytest.param(
            (WARNING, replace(CRITICAL, code="TV101", explained_by="TV201")),
            "ill",
            id="a symptom that is worse",
        ),
    ],
)
def test_the_worst_incident_makes_the_verdict(incidents, verdict):
    assert verdict_of(incidents, looks=1) == verdict


@pytest.mark.parametrize(("looks", "judges"), [(0, 5), (9, 0)], ids=["no look", "no diagnostic"])
def test_where_nobody_looked_or_judged_nothing_found_is_no_data_but_what_was_found_stands(looks, judges):
    assert verdict_of((), looks=looks, judges=judges) == "no data"
    assert verdict_of((CRITICAL,), looks=looks, judges=judges) == "ill"


def test_the_root_is_the_first_incident_above_a_note_that_follows_from_no_other():
    child = replace(CRITICAL, code="TV101", explained_by="TV201")
    assert Summary(verdict="ill", incidents=(INFO, child, CRITICAL)).root is CRITICAL
    assert Summary(verdict="healthy", incidents=(INFO, child)).root is None


def test_monitoring_has_no_share_of_a_run_without_time():
    assert Cost(monitor_seconds=1.0).share == 0.0
    assert Cost(monitor_seconds=1.0, run_seconds=4.0).share == 0.25


def test_coverage_tells_in_words_what_was_not_seen():
    coverage = Coverage(steps=9, looks=2, measured={"activation_gradient": 3}, blind=("Inside x: compiled.",))
    assert str(coverage) == (
        "2 looks in 9 steps, rows measured: activation_gradient 3\nnot seen: Inside x: compiled."
    )
    assert str(Coverage()) == "0 looks in 0 steps, rows measured: none"
