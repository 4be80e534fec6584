"""The one form of complaint: field, value, close match, choices."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import (
    invalid,
    require_choice,
    require_count,
    require_finite,
    require_positive,
    require_share,
)


def test_unknown_name_gets_close_match_and_sorted_choices():
    with pytest.raises(
        ValueError, match=r"^norm: 'bach' is unknown\. Did you mean 'batch'\? Choices: batch, layer, none\.$"
    ):
        require_choice("norm", value="bach", choices=("none", "batch", "layer"))


def test_unknown_name_far_from_all_gets_no_guess():
    assert str(invalid("norm", value="zzz", choices=("batch",))) == "norm: 'zzz' is unknown. Choices: batch."


@pytest.mark.parametrize("value", [True, 1.0, "1", -1], ids=["bool", "float", "text", "negative"])
def test_count_is_an_integer_and_not_below_its_minimum(value):
    with pytest.raises(ValueError, match=r"^depth: .* is not allowed\. Choices: an integer of at least 0\.$"):
        require_count("depth", value=value, minimum=0)


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_share_is_accepted_exactly_in_its_interval(value: float):
    if 0 <= value < 1:
        require_share("dropout", value=value)
    else:
        with pytest.raises(ValueError, match=r"^dropout: .* Choices: a number in \[0, 1\)\.$"):
            require_share("dropout", value=value)


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
def test_positive_rejects_zero_negative_and_non_finite(value):
    with pytest.raises(ValueError, match=r"^std: .* Choices: a finite number above 0\.$"):
        require_positive("std", value=value)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_finite_rejects_the_rest(value):
    with pytest.raises(ValueError, match=r"^bias: .* Choices: a finite number\.$"):
        require_finite("bias", value=value)
