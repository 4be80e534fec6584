"""Mistakes in thresholds are told when the object is built; without this they would raise in mid-training."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from torchvitals.builtin.dead_units import DeadUnits
from torchvitals.builtin.exploding_gradient import ExplodingGradient
from torchvitals.core.errors import FieldError
from torchvitals.core.finding import Finding, Severity
from torchvitals.core.protocols import Diagnostic, Reporter
from torchvitals.core.window import Window


@dataclass(frozen=True, kw_only=True)
class Sleepy(Diagnostic):
    code: ClassVar[str] = "ZZ101"
    name: ClassVar[str] = "sleepy"
    needs: ClassVar[frozenset[str]] = frozenset()
    ranges: ClassVar = {"hours": (4, 12), "naps": (0, 3)}

    hours: float = 8.0
    naps: int = 1

    def diagnose(self, window: Window) -> Iterator[Finding]:
        yield self.finding(
            Severity.INFO, where=("bed",), since=0, message="It sleeps.", cause="night", evidence={}
        )


@pytest.mark.parametrize(
    ("given", "text"),
    [
        pytest.param(
            {"hours": 3.9}, "Sleepy.hours=3.9 is not possible. Give a number in [4, 12].", id="below"
        ),
        pytest.param({"hours": 13}, "Sleepy.hours=13 is not possible. Give a number in [4, 12].", id="above"),
        pytest.param(
            {"hours": math.nan}, "Sleepy.hours=nan is not possible. Give a number in [4, 12].", id="nan"
        ),
        pytest.param(
            {"hours": "8"}, "Sleepy.hours='8' is not possible. Give a number in [4, 12].", id="text"
        ),
        pytest.param(
            {"hours": None}, "Sleepy.hours=None is not possible. Give a number in [4, 12].", id="None"
        ),
        pytest.param(
            {"naps": 1.5}, "Sleepy.naps=1.5 is not possible. Give a whole number in [0, 3].", id="half a nap"
        ),
    ],
)
def test_an_impossible_threshold_is_refused_with_field_value_and_range(given, text):
    with pytest.raises(FieldError) as caught:
        Sleepy(**given)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    "given",
    [
        {"hours": 4},
        {"hours": 12.0},
        {"naps": 0},
        {"naps": 3},
        {"hours": np.float32(8)},
        {"naps": np.int64(2)},
    ],
    ids=str,
)
def test_the_ends_of_a_range_and_the_numbers_of_numpy_are_possible(given):
    assert Sleepy(**given) == Sleepy(**given)


def test_a_threshold_that_counts_must_be_whole_since_it_is_used_as_an_index():
    with pytest.raises(
        FieldError, match=r"^ExplodingGradient\.min_steps=6\.5 is not possible\. Give a whole number"
    ):
        ExplodingGradient(min_steps=6.5)  # pyright: ignore[reportArgumentType]


def test_a_finding_is_signed_with_the_code_and_name_of_its_diagnostic():
    (finding,) = Sleepy().diagnose(Window())
    assert (finding.code, finding.name, finding.remedies) == ("ZZ101", "sleepy", ())


def test_diagnostics_with_the_same_thresholds_are_equal_and_show_them():
    assert DeadUnits(max_share=0.7) == DeadUnits(max_share=0.7) != DeadUnits()
    assert repr(DeadUnits()) == "DeadUnits(positions=1400, max_growth=0.3, max_share=0.5, step_out=0.45)"


def test_a_diagnostic_without_a_judgement_cannot_be_built():
    with pytest.raises(TypeError, match="diagnose"):
        Diagnostic()  # pyright: ignore[reportAbstractUsage]


def test_a_reporter_is_whoever_has_the_three_moments():
    class Silent:
        def on_snapshot(self, snapshot): ...
        def on_incident(self, incident): ...
        def on_close(self, summary): ...

    assert isinstance(Silent(), Reporter)
    assert not isinstance(object(), Reporter)
