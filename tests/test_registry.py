"""Strangers come in by the same door as the built-ins; without this a bad plugin would fail too late."""

import textwrap
from pathlib import Path

import pytest

from torchvitals import registry
from torchvitals.builtin.dead_units import DeadUnits
from torchvitals.core.errors import FieldError, NameTaken, UnknownName
from torchvitals.registry import BrokenPlugin

CHOICES = "Give names of diagnostics, or diagnostics built from their class."
GOOD = """
    from collections.abc import Iterator
    from dataclasses import dataclass
    from typing import ClassVar
    from torchvitals import Diagnostic

    @dataclass(frozen=True, kw_only=True)
    class Mine(Diagnostic):
        code: ClassVar[str] = "AA101"
        name: ClassVar[str] = "mine"
        needs: ClassVar[frozenset[str]] = frozenset()

        def diagnose(self, window):
            yield from ()

    class Nameless(Diagnostic):
        needs = frozenset()

        def diagnose(self, window):
            yield from ()

    def not_a_class(): ...
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Install a package with these entry points, as pip would leave it on the disk."""

    def make(package: str, *points: str, group: str = "torchvitals.diagnostics") -> None:
        place = tmp_path / package
        info = place / f"{package}-1.0.dist-info"
        info.mkdir(parents=True)
        (place / f"{package}_code.py").write_text(textwrap.dedent(GOOD))
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n" + "\n".join(points) + "\n")
        monkeypatch.syspath_prepend(place)

    return make


def test_all_built_in_diagnostics_come_through_their_entry_points_in_the_order_of_their_codes():
    found = registry.diagnostics()
    assert [cls.code for cls in found.values()] == sorted(cls.code for cls in found.values())
    assert {"dead-units", "vanishing-gradient", "exploding-gradient", "non-finite", "symmetric-units"} <= set(
        found
    )
    assert [name for name, cls in found.items() if cls.name != name] == []


def test_a_strangers_diagnostic_is_found_by_its_name(install):
    install("stranger", "mine = stranger_code:Mine")
    assert registry.diagnostics()["mine"].code == "AA101"
    assert [type(d).__name__ for d in registry.resolve(["mine"])] == ["Mine"]


def test_without_a_wish_all_are_built_with_their_defaults():
    assert DeadUnits() in registry.resolve(None)
    assert len(registry.resolve(None)) == len(registry.diagnostics())


def test_names_and_built_diagnostics_can_be_mixed():
    mine = DeadUnits(max_share=0.3)
    resolved = registry.resolve(name for name in ["non-finite", mine])
    assert (resolved[0].code, resolved[1]) == ("TV203", mine)


@pytest.mark.parametrize("wanted", [[], ["dead-units", "dead-units"]], ids=["none", "twice"])
def test_no_diagnostic_or_one_twice_is_refused(wanted):
    with pytest.raises(FieldError, match=r"diagnostics=\[.*at least one diagnostic and each only once"):
        registry.resolve(wanted)


def test_what_cannot_speak_is_no_reporter():
    with pytest.raises(FieldError, match=r"reporters=.*objects with on_snapshot"):
        registry.reporters([object()])  # pyright: ignore[reportArgumentType]


def test_an_unknown_name_is_answered_with_close_ones_and_the_whole_list():
    with pytest.raises(UnknownName) as caught:
        registry.resolve(["dead_unit"])
    text = str(caught.value)
    assert text.startswith("Unknown diagnostic 'dead_unit'. Did you mean 'dead-units'")
    assert "Installed: always-clipped, " in text


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        pytest.param(
            "dead-units",
            "diagnostics='dead-units' is not possible. Give a list, such as ['dead-units'].",
            id="one name",
        ),
        pytest.param(
            DeadUnits(),
            f"diagnostics={DeadUnits()!r} is not possible. Give a list, such as [{DeadUnits()!r}].",
            id="one diagnostic",
        ),
        pytest.param(
            [DeadUnits],
            f"diagnostics={DeadUnits!r} is not possible. {CHOICES}",
            id="a class",
        ),
        pytest.param(
            [5],
            f"diagnostics=5 is not possible. {CHOICES}",
            id="a number",
        ),
    ],
)
def test_a_wish_that_cannot_be_is_refused_in_words(wanted, text):
    with pytest.raises(FieldError) as caught:
        registry.resolve(wanted)
    assert str(caught.value) == text


def test_one_reporter_is_not_taken_for_a_list_of_letters():
    with pytest.raises(
        FieldError, match=r"^reporters='console' is not possible\. Give a list, such as \['console'\]"
    ):
        registry.choose("reporter", "console")


def test_two_owners_of_one_name_are_both_named(install):
    install("one", "mine = one_code:Mine")
    install("two", "mine = two_code:Mine")
    with pytest.raises(NameTaken) as caught:
        registry.diagnostics()
    text = str(caught.value)
    assert text.startswith("The diagnostic 'mine' is claimed by ")
    assert "one (one_code:Mine)" in text
    assert "two (two_code:Mine)" in text


def test_a_stranger_cannot_take_the_name_of_a_built_in(install):
    install("thief", "dead-units = thief_code:Mine")
    with pytest.raises(NameTaken, match=r"thief \(thief_code:Mine\)"):
        registry.diagnostics()


@pytest.mark.parametrize(
    ("point", "text"),
    [
        pytest.param(
            "x = gone_module:X", r"'x' of broken \(gone_module:X\) does not load: Module", id="module"
        ),
        pytest.param(
            "x = broken_code:X", r"'x' of broken \(broken_code:X\) does not load: Attribute", id="class"
        ),
        pytest.param("x = broken_code:not_a_class", r"'x' is <function .*, not a subclass of", id="function"),
        pytest.param(
            "x = pathlib:Path", r"'x' is <class .*, not a subclass of torchvitals\.Diagnostic", id="other"
        ),
        pytest.param(
            "x = broken_code:Nameless", r"'x' \(Nameless\) does not say its code, name\.", id="nameless"
        ),
    ],
)
def test_a_broken_plugin_is_named_with_its_owner_when_it_is_loaded(install, point, text):
    install("broken", point)
    with pytest.raises(BrokenPlugin, match=text):
        registry.diagnostics()


def test_a_broken_plugin_that_nobody_asked_for_disturbs_nobody(install):
    install("broken", "x = gone_module:X")
    assert [d.code for d in registry.resolve(["dead-units"])] == ["TV101"]
