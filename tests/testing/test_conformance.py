"""Diagnostics keep the house rules, and each rule can be broken; without this the proof could be empty."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

from torchvitals import registry
from torchvitals.testing import BrokenRule, check_diagnostic, hostile_windows, look, quiet_windows

GOOD = '''
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from torchvitals.core.finding import Finding, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.window import Window


@dataclass(frozen=True, kw_only=True)
class LargeNorm(Diagnostic):
    """A gradient that is larger than agreed.

    What it measures: the largest norm.

    Why it matters: it does.

    When it is wrong: often.

    What to try: less.

    Source: none.
    """

    code: ClassVar[str] = "AA101"
    name: ClassVar[str] = "large-norm"
    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    ranges: ClassVar = {"most": (0, 100), "looks": (1, 9)}

    most: float = 10.0
    """largest norm; in [0, 100]"""
    looks: int = 1
    """looks in a row; 1 to 9"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        for look in window.looks("gradient")[-1:]:
            if len(look["gradient"]) and look["gradient"].norm.max() > self.most:
                yield self.finding(
                    Severity.INFO,
                    where=look["gradient"].names[:1],
                    since=look.step,
                    message="It is large.",
                    cause="unknown",
                    evidence={"norm": float(look["gradient"].norm.max())},
                )
'''


def learn(source: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> type:
    """The diagnostic of a plugin with that source, imported from a file as plugins are."""
    (folder / "a_plugin.py").write_text(source)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "a_plugin", raising=False)
    return import_module("a_plugin").LargeNorm


@pytest.mark.parametrize("cls", registry.diagnostics().values(), ids=lambda cls: cls.name)
def test_an_installed_diagnostic_keeps_the_rules(cls):
    check_diagnostic(cls)


def test_a_well_made_plugin_keeps_the_rules(tmp_path, monkeypatch):
    check_diagnostic(learn(GOOD, tmp_path, monkeypatch))


CLUMSY = """    def __post_init__(self):
        from torchvitals.core.errors import FieldError
        if not (isinstance(self.most, (int, float)) and 0 <= self.most <= 100):
            raise FieldError('it', 'x', 'another')

    def diagnose"""
HASTY = """        if len(window):
            yield self.finding(Severity.INFO, where=(), since=0, message='x', cause='x', evidence={})
        for look in"""
BREAKS = [
    ("frozen=True, ", "frozen=False, ", r"is not frozen; write @dataclass\(frozen=True, kw_only=True\)"),
    ("frozen=True, kw_only=True", "frozen=True", "the field most is not keyword-only"),
    ("@dataclass(frozen=True, kw_only=True)\n", "", "is not a dataclass; write @dataclass"),
    ("(Diagnostic)", "", r"is not a subclass of torchvitals\.Diagnostic"),
    ("def diagnose", "def judge", r"does not define diagnose\(window\)"),
    ('"AA101"', '"aa1"', "code is 'aa1', not of the form 'AB101'"),
    ('"AA101"', '"TV101"', "code is 'TV101': TV is torchvitals' own"),
    ('    code: ClassVar[str] = "AA101"\n', "", "code is None"),
    ('"large-norm"', '"Large Norm"', "name is 'Large Norm', not of the form 'dead-units'"),
    ("frozenset({", "set({", r"needs is \{'gradient'\}, not a frozenset"),
    ("A gradient that is larger than agreed.", "Large", "docstring does not begin with a sentence"),
    ("    What to try: less.\n\n", "", "its docstring has no paragraph 'What to try:'"),
    ("Why it matters: it does.", "Why it matters:", "its docstring has no paragraph 'Why it matters:'"),
    (
        "    Source: none.\n",
        "    Source: none.\n\n    Source: two.\n",
        "the paragraphs of its docstring come as",
    ),
    ("import numpy as np", "import torch", "its file imports torch; a diagnostic needs numpy"),
    ("import numpy as np", "from torchvitals.probes import base", r"its file imports torchvitals\.probes"),
    ("most: float = 10.0", "most: float", "the threshold most has no default"),
    ('\n    """looks in a row; 1 to 9"""', "", "the threshold looks has no string under it"),
    ('"most": (0, 100), ', "", "the threshold most has no entry in ranges"),
    ('"most": (0, 100)', '"must": (0, 1), "most": (0, 100)', "ranges names 'must', which is no field"),
    ("= 10.0", "= 101.0", r"the default most=101\.0 is outside of its range \[0, 100\]"),
    (
        "    def diagnose",
        "    def __post_init__(self): ...\n\n    def diagnose",
        "takes most=-1, which is outside",
    ),
    (
        "    def diagnose",
        "    def __post_init__(self): assert 0 <= self.most <= 50\n\n    def diagnose",
        "refuses most",
    ),
    (
        "    def diagnose",
        "    def __post_init__(self): assert 0 <= self.most <= 100\n\n    def diagnose",
        r"raises AssertionError\(\) and not a FieldError for most=-1",
    ),
    (
        "    def diagnose",
        CLUMSY,
        "its error for most=-1 does not name most and -1",
    ),
    (
        "        for look in",
        "        window.latest\n        for look in",
        "raised IndexError.* on an empty window",
    ),
    (
        "        for look in",
        HASTY,
        "accuses a window without tables",
    ),
    ('if len(look["gradient"]) and', "if", "raised ValueError.* on zero rows"),
    (
        'window.looks("gradient")[-1:]:',
        "window.snapshots[-1:]:",
        "raised KeyError.* on a window without tables",
    ),
    (
        'window.looks("gradient")[-1:]:',
        'window.looks("gradient")[-1:]:\n            look["gradient"]["count"][:] = 0',
        "changed healthy tables; a diagnostic only reads",
    ),
    ("since=look.step", "since=look.step + 1", "dates a finding to 20, not to a step up to 19"),
    (".names[:1]", ".names[0]", "says where='layers.0', not a tuple of names"),
    ('"It is large."', '" "', "gives no message or no cause"),
    ("float(look", "np.array(look", "gives evidence that is not plain numbers and words"),
    ("Severity.INFO", "9", "gives the severity 9, not one of Severity"),
    ("yield self.finding(", "yield (lambda *a, **k: 'ill')(", "yields 'ill' on .*, which is no Finding"),
    (
        "yield self.finding(\n                    Severity.INFO,",
        "yield Finding(\n                    code='AA102', name='other', severity=Severity.INFO,",
        r"signs a finding as \('AA102', 'other'\) and not as \('AA101', 'large-norm'\)",
    ),
]


@pytest.mark.parametrize(("good", "bad", "complaint"), [pytest.param(*b, id=b[2]) for b in BREAKS])
def test_each_rule_can_be_broken_and_says_who_broke_it(good, bad, complaint, tmp_path, monkeypatch):
    assert good in GOOD
    cls = learn(GOOD.replace(good, bad), tmp_path, monkeypatch)
    with pytest.raises(BrokenRule, match=rf"^LargeNorm: .*{complaint}"):
        check_diagnostic(cls)


def test_a_diagnostic_with_a_memory_is_not_pure(tmp_path, monkeypatch):
    head = GOOD.replace("@dataclass", "from itertools import count\n\nSEEN = count()\n\n\n@dataclass")
    forgetful = head.replace('message="It is large."', 'message=f"It is large, {next(SEEN)}."')
    with pytest.raises(BrokenRule, match=r"^LargeNorm: finds something else when it judges .* twice"):
        check_diagnostic(learn(forgetful, tmp_path, monkeypatch))


def test_an_authors_own_window_is_judged_too(tmp_path, monkeypatch):
    odd = GOOD.replace("for look in", "assert len(window) != 3\n        for look in")
    cls = learn(odd, tmp_path, monkeypatch)
    check_diagnostic(cls)
    window = next(w for _, w in quiet_windows()).add(look(0, ["gradient"])).add(look(1, [])).add(look(2, []))
    with pytest.raises(BrokenRule, match=r"^LargeNorm: raised AssertionError.* on your window 0"):
        check_diagnostic(cls, windows=[window])


def test_what_is_no_class_at_all_is_refused_by_its_name():
    with pytest.raises(BrokenRule, match=r"^5: is not a subclass of torchvitals\.Diagnostic\.$"):
        check_diagnostic(5)  # pyright: ignore[reportArgumentType]


def test_the_hostile_windows_provoke_many_built_in_diagnostics():
    """What they do not provoke is tried on windows of its own, in the tests of each diagnostic."""
    found = set()
    for cls in registry.diagnostics().values():
        for _, window in hostile_windows(cls.needs):
            found.update(finding.code for finding in cls().diagnose(window))
    assert len(found) > len(registry.diagnostics()) / 3
