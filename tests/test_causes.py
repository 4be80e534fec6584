"""One event has one root; without this a single illness would raise an alarm per symptom."""

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchvitals.causes import EXPLAINS, LATENT, WRITTEN, attribute
from torchvitals.core.finding import Incident, Severity

CODES = ("TV101", "TV201", "TV202", "TV203", "TV301", "TV302", "TV502", "ZZ101")


def seen(code: str, onset: int, severity: Severity = Severity.CRITICAL) -> Incident:
    return Incident(
        code=code,
        name=code.lower(),
        severity=severity,
        where=(),
        onset=onset,
        last_seen=onset,
        message=f"{code} since {onset}",
        cause="?",
    )


some = st.dictionaries(
    st.sampled_from(CODES), st.tuples(st.integers(0, 3), st.sampled_from(Severity)), max_size=6
).map(lambda found: [seen(code, *rest) for code, rest in found.items()])


@given(some)
def test_no_incident_is_lost_or_invented(found):
    assert sorted(i.code for i in attribute(found)) == sorted(i.code for i in found)


@given(some, st.randoms(use_true_random=False))
def test_the_order_in_which_diagnostics_ran_does_not_matter(found, random):
    shuffled = random.sample(found, len(found))
    assert attribute(shuffled) == attribute(found)


@given(some)
def test_every_symptom_hangs_directly_below_a_root_that_names_it(found):
    told = {i.code: i for i in attribute(found)}
    for incident in told.values():
        if incident.explained_by is not None:
            root = told[incident.explained_by]
            assert root.explained_by is None
            assert incident.code in root.explains
        for code in incident.explains:
            assert told[code].explained_by == incident.code


@given(some)
def test_no_root_began_after_its_symptom_unless_it_stands_in_the_code(found):
    told = {i.code: i for i in attribute(found)}
    for incident in told.values():
        if incident.explained_by is not None and incident.explained_by not in WRITTEN:
            assert told[incident.explained_by].onset <= incident.onset


@given(some)
def test_the_worst_root_comes_first_and_each_is_followed_by_what_it_explains(found):
    told = attribute(found)
    roots = [i for i in told if i.explained_by is None]
    assert roots == sorted(roots, key=lambda i: (-i.severity, i.onset))
    owner = None
    for incident in told:
        owner = incident.code if incident.explained_by is None else owner
        assert incident.explained_by in (None, owner)


@given(some)
def test_attributing_twice_changes_nothing_where_no_note_became_graver(found):
    told = attribute(found)
    given = {i.code: i.severity for i in found}
    if all(i.severity == given[i.code] for i in told):
        assert attribute(told) == told


@given(some)
def test_no_root_is_milder_than_what_follows_from_it(found):
    told = {i.code: i for i in attribute(found)}
    for incident in told.values():
        assert all(told[code].severity <= incident.severity for code in incident.explains)


@given(some)
def test_a_mere_note_explains_nothing_worse_unless_it_lies_in_wait(found):
    given = {i.code: i.severity for i in found}
    for incident in attribute(found):
        if (
            given[incident.code] is Severity.INFO
            and incident.code not in LATENT
            and not incident.explained_by
        ):
            assert all(told is Severity.INFO for told in (given[code] for code in incident.explains))


def test_unscaled_data_is_a_note_until_the_run_falls_ill_of_it():
    note = seen("TV502", 0, Severity.INFO)
    (alone,) = attribute([note])
    assert alone.severity is Severity.INFO
    root, symptom = attribute([note, seen("TV402", 7)])
    assert (root.code, root.severity, root.explains) == ("TV502", Severity.CRITICAL, ("TV402",))
    assert symptom.explained_by == "TV502"


@pytest.mark.parametrize(
    ("found", "roots"),
    [
        pytest.param({"TV101": 5, "TV201": 6}, {"TV201": "TV101"}, id="dead layer stops the gradient"),
        pytest.param({"TV101": 6, "TV201": 5}, {"TV101": "TV201"}, id="vanished first"),
        pytest.param({"TV101": 0, "TV201": 0}, {"TV101": "TV201"}, id="both from birth"),
        pytest.param(
            {"TV203": 5, "TV101": 5, "TV201": 9}, {"TV101": "TV203", "TV201": "TV203"}, id="after nan"
        ),
        pytest.param({"TV202": 3, "TV203": 9}, {"TV203": "TV202"}, id="growth overflows"),
        pytest.param({"TV202": 9, "TV203": 3}, {"TV202": "TV203"}, id="nan before growth"),
        pytest.param({"TV202": 4, "TV203": 4}, {"TV202": "TV203"}, id="nan and growth in one step"),
        pytest.param(
            {"TV202": 1, "TV101": 2, "TV201": 3}, {"TV101": "TV202", "TV201": "TV202"}, id="a chain"
        ),
        pytest.param(
            {"TV301": 0, "TV202": 0, "TV203": 0}, {"TV202": "TV301"}, id="three at step 0 that form a circle"
        ),
        pytest.param({"TV302": 2, "TV101": 3, "TV402": 9}, {"TV101": "TV302", "TV402": "TV302"}, id="lr"),
        pytest.param({"TV206": 1, "TV302": 4, "TV203": 9}, {"TV302": "TV206", "TV203": "TV206"}, id="wiring"),
        pytest.param(
            {"TV308": 0, "TV201": 0, "TV403": 99}, {"TV201": "TV308", "TV403": "TV308"}, id="born ill"
        ),
        pytest.param(
            {"TV206": 1, "TV307": 0, "TV302": 3},
            {"TV307": "TV206", "TV302": "TV206"},
            id="zero_grad is missing",
        ),
        pytest.param({"TV101": 20, "TV403": 0}, {"TV403": "TV101"}, id="stuck since it died"),
        pytest.param({"TV201": 0, "TV302": 2, "TV101": 5}, {"TV101": "TV302"}, id="born before any step"),
        pytest.param({"TV302": 90, "TV101": 20}, {}, id="large steps long after the units died"),
        pytest.param({"TV501": 4, "TV203": 4}, {"TV203": "TV501"}, id="bad data"),
        pytest.param({"TV301": 0, "ZZ101": 0}, {}, id="a stranger's finding is nobody's symptom"),
        pytest.param({}, {}, id="nothing"),
    ],
)
def test_the_earliest_possible_reason_is_the_root(found, roots):
    for order in permutations(found.items()):
        told = attribute(seen(code, onset) for code, onset in order)
        assert {i.code: i.explained_by for i in told if i.explained_by} == roots


def test_equally_bad_roots_come_in_the_order_of_their_onset():
    told = attribute([seen("ZZ103", 5), seen("ZZ101", 9), seen("ZZ102", 7, Severity.WARNING)])
    assert [i.code for i in told] == ["ZZ103", "ZZ101", "ZZ102"]


def test_nothing_is_its_own_reason():
    assert [code for code, explained in EXPLAINS.items() if code in explained] == []


def test_a_note_of_what_does_no_harm_is_the_reason_for_nothing():
    unused = replace(seen("TV405", 0, Severity.INFO), cause="classes that never occur")
    stuck = seen("TV403", 0, Severity.INFO)
    assert {i.code: i.explained_by for i in attribute([unused, stuck])} == {"TV405": None, "TV403": None}
    mistaken = replace(unused, cause="relu on logits")
    assert {i.code: i.explained_by for i in attribute([mistaken, stuck])}["TV403"] == "TV405"


def test_a_note_that_is_as_grave_as_its_symptom_lasts_as_long_as_that():
    note = replace(seen("TV302", 0, Severity.INFO), resolved=20)
    (root, _) = attribute([note, seen("TV101", 3)])
    assert (root.code, root.severity, root.resolved) == ("TV302", Severity.CRITICAL, None)
    (root, _) = attribute([note, replace(seen("TV101", 3), resolved=30)])
    assert root.resolved == 20


def test_an_optimizer_for_the_head_alone_is_the_root_only_where_nothing_is_learned():
    note, stuck = seen("TV305", 0, Severity.INFO), seen("TV403", 0, Severity.WARNING)
    root = attribute([note, stuck])[0]
    assert (root.code, root.severity) == ("TV305", Severity.WARNING)
    assert [i.severity for i in attribute([note])] == [Severity.INFO]
