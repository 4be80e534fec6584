"""The corpus as a whole, and the commands that show it."""

import pytest

from sweeps.scorecard.plan import cases
from sweeps.situations.__main__ import main
from sweeps.situations.catalogue import situations
from sweeps.situations.situation import Level, Register
from sweeps.situations.training import Training
from sweeps.situations.validation import proven
from torchvitals import registry


def test_there_are_enough_faults_and_controls_in_both_splits():
    found = situations().values()
    for split, faults, controls in (("tune", 200, 200), ("test", 50, 50)):
        part = [s for s in found if s.split == split]
        assert sum(not s.healthy for s in part) >= faults
        assert sum(s.healthy for s in part) >= controls


def test_every_truth_names_codes_of_the_catalogue():
    known = {cls.code for cls in registry.diagnostics().values()}
    named = {code for s in situations().values() if s.truth is not None for code in s.truth.codes}
    assert named <= known
    assert len(named) >= 25


def test_every_fault_has_a_level_and_no_control_has_one():
    assert all(bool(s.levels) != s.healthy for s in situations().values())


def test_every_fault_is_proven_to_do_harm_at_every_level():
    kept = proven()
    assert set(kept) == {f"{s.name}@{level}" for s in situations().values() for level in s.levels}
    assert [key for key, proof in kept.items() if not proof["holds"]] == []


def test_two_situations_of_one_name_and_one_without_words_are_refused():
    register = Register()

    def silent(_seed: int) -> Training:
        raise NotImplementedError

    def told(_seed: int) -> Training:
        """It is told."""
        raise NotImplementedError

    with pytest.raises(ValueError, match="has no docstring"):
        register.control("a", source="own")(silent)
    register.control("a", source="own")(told)
    with pytest.raises(ValueError, match="Two situations are called 'a'"):
        register.control("a", source="own")(told)


def test_the_scorecard_takes_each_situation_once_and_the_quick_one_a_ninth():
    names = [case.name for case in cases()]
    assert sorted(names) == sorted(situations())
    quick = list(cases(quick=True))
    assert len(quick) == -(-len(names) // 9)
    assert {case.sort for case in quick} == {"fault", "control"}
    every = {(case.name, case.level) for case in cases(every_level=True)}
    assert {(case.name, case.level) for case in cases()} <= every
    assert any(case.sort == "twin" for case in cases(seeds=2))


def test_list_shows_them_all(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    faults = sum(not s.healthy for s in situations().values())
    assert f"{faults} faults, {len(situations()) - faults} healthy controls" in out


def test_run_sets_what_is_said_beside_the_truth(capsys):
    assert main(["run", "zero-init-relu", "--level", "moderate", "--seed", "3"]) == 0
    out = capsys.readouterr().out
    assert "TV301 symmetric-units" in out
    assert "zero-init-relu at level moderate: score" in out
    assert "Clean twin: score" in out
    assert "Truth: TV301 at hidden.*, head, from step 0." in out


def test_an_unknown_name_is_answered_with_close_ones(capsys):
    assert main(["run", "zero-init-rel"]) == 2
    assert "Did you mean zero-init-relu" in capsys.readouterr().err


def test_a_level_has_the_name_it_is_typed_by():
    assert [str(level) for level in Level] == ["blatant", "moderate", "subtle"]
