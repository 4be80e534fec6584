"""Findings become incidents with an onset and an end; without this every look would raise the same alarm."""

import pytest

from torchvitals.core.finding import Finding, Incident, Severity
from torchvitals.incidents import PATIENCE, IncidentBook


def found(
    code: str = "TV201", *, since: int = 0, severity: Severity = Severity.WARNING, message: str = "Ill."
) -> Finding:
    return Finding(
        code=code,
        name=code.lower(),
        severity=severity,
        where=("fc1",),
        since=since,
        message=message,
        cause="?",
    )


def followed(*steps: list[Finding], looked: bool = True) -> tuple[IncidentBook, list[list[Incident]]]:
    book = IncidentBook()
    return book, [book.follow(findings, step, looked=looked) for step, findings in enumerate(steps)]


def test_the_first_finding_opens_an_incident_and_is_news():
    book, (news,) = followed([found(since=0, message="It began.")])
    (incident,) = book.incidents
    assert news == [incident]
    assert (incident.onset, incident.last_seen, incident.resolved) == (0, 0, None)
    assert (incident.message, incident.now) == ("It began.", "It began.")


def test_the_same_finding_again_is_no_news_but_is_remembered():
    book, news = followed([found(message="At first.")], [found(message="And now.")])
    (incident,) = book.incidents
    assert news[1] == []
    assert (incident.onset, incident.last_seen) == (0, 1)
    assert (incident.message, incident.now) == ("At first.", "And now.")


def test_a_worse_finding_is_news_and_keeps_the_earliest_onset():
    worse = found(since=1, severity=Severity.CRITICAL, message="Worse.")
    book, news = followed([found(since=0)], [worse])
    (incident,) = book.incidents
    assert news[1] == [incident]
    assert (incident.severity, incident.onset, incident.message) == (Severity.CRITICAL, 0, "Worse.")


def test_a_worse_finding_that_reaches_further_back_moves_the_onset():
    book, _ = followed([], [found(since=1)], [found(since=0, severity=Severity.CRITICAL)])
    assert book.incidents[0].onset == 0


def test_a_milder_finding_leaves_the_incident_as_it_was_at_its_worst():
    book, _ = followed([found(severity=Severity.CRITICAL, message="Bad.")], [found(message="Milder.")])
    (incident,) = book.incidents
    assert (incident.severity, incident.message, incident.now) == (Severity.CRITICAL, "Bad.", "Milder.")


@pytest.mark.parametrize(
    ("quiet", "resolved"), [(PATIENCE - 1, None), (PATIENCE, PATIENCE), (PATIENCE + 2, PATIENCE)], ids=str
)
def test_an_incident_is_resolved_after_three_looks_without_it(quiet, resolved):
    book, _ = followed([found()], *[[] for _ in range(quiet)])
    assert (book.incidents[0].resolved, book.incidents[0].last_seen) == (resolved, 0)


def test_the_end_of_an_incident_is_news_once():
    _, news = followed([found()], [], [], [], [], [])
    assert [len(step) for step in news] == [1, 0, 0, 1, 0, 0]
    assert news[3][0].resolved == 3


def test_flicker_does_not_resolve():
    book, _ = followed([found()], [], [], [found()], [], [], [found()])
    assert book.incidents[0].resolved is None


def test_an_incident_that_comes_back_is_the_same_one_and_is_news():
    book, news = followed([found()], [], [], [], [found(since=4)])
    (incident,) = book.incidents
    assert news[4] == [incident]
    assert (incident.onset, incident.last_seen, incident.resolved) == (0, 4, None)


def test_an_incident_that_came_back_needs_three_looks_again_to_be_resolved():
    book, _ = followed([found()], [], [], [], [found()], [], [])
    assert book.incidents[0].resolved is None


def test_steps_that_were_not_looked_at_open_incidents_but_resolve_none():
    book, news = followed([found()], *[[] for _ in range(10)], looked=False)
    assert (len(news[0]), book.incidents[0].resolved) == (1, None)


def test_an_incident_of_one_code_does_not_keep_another_open():
    book, _ = followed([found("TV201"), found("ZZ101")], *[[found("ZZ101")] for _ in range(3)])
    assert {i.code: i.resolved for i in book.incidents} == {"TV201": 3, "ZZ101": None}


def test_two_findings_of_one_code_in_one_look_are_one_incident_as_bad_as_the_worse():
    book, _ = followed([found(severity=Severity.CRITICAL), found(severity=Severity.WARNING)])
    (incident,) = book.incidents
    assert incident.severity is Severity.CRITICAL


def test_news_tells_which_root_an_incident_follows_from():
    _, (news,) = followed([found("TV201"), found("TV101")])
    assert {i.code: i.explained_by for i in news} == {"TV101": "TV201", "TV201": None}


def test_an_incident_that_has_become_a_mere_note_is_resolved_as_what_it_was():
    note = found(severity=Severity.INFO)
    book, news = followed([found(severity=Severity.CRITICAL)], *[[note]] * PATIENCE)
    (incident,) = book.incidents
    assert (incident.severity, incident.resolved) == (Severity.CRITICAL, PATIENCE)
    assert news[-1] == [incident]
