"""What a model is given comes back from a capture as it was, or the capture says what is missing."""

import json
import math
from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_sequence

from torchvitals.captures.trees import leaves, pack, unpack

scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.floats(allow_nan=False))
values = st.recursive(
    scalars | st.builds(torch.arange, st.integers(0, 5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    ),
    max_leaves=8,
)
Pair = namedtuple("Pair", ["left", "right"])


def through_json(value):
    kept = []

    def keep(x):
        kept.append(x)
        return {"tensor": str(len(kept) - 1)}

    tree = json.loads(json.dumps(pack(value, keep), allow_nan=False))
    return unpack(tree, lambda key: kept[int(key)])


def same(a, b):
    if isinstance(a, torch.Tensor):
        return a is b
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@settings(max_examples=50)
@given(values)
def test_what_was_packed_comes_back_with_its_types(value):
    assert same(value, through_json(value))


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_numbers_that_json_does_not_know_come_back(value):
    assert repr(through_json({"x": value})["x"]) == repr(value)


def test_named_tuples_and_dataclasses_come_back_with_their_fields():
    @dataclass
    class Batch:
        x: int
        rest: list

    pair = through_json(Pair(1, torch.ones(2)))
    assert (pair.left, pair._fields) == (1, ("left", "right"))
    assert through_json(Batch(3, [4])).rest == [4]


def test_packed_sequences_come_back_as_such():
    packed = pack_sequence([torch.ones(3, 2), torch.ones(1, 2)])
    assert isinstance(through_json(packed), type(packed))


def test_what_has_no_safe_form_is_told_and_refused():
    tree = pack({"x": [object()]}, lambda _: {"tensor": "t"})
    assert list(leaves(tree, "batch")) == [("batch.x[0]", "lost", "an object of class object")]
    with pytest.raises(ValueError, match="object of class object"):
        unpack(tree, lambda _: torch.ones(1))


def test_what_holds_itself_comes_to_an_end():
    circle = []
    circle.append(circle)
    ((_, kind, why),) = leaves(pack(circle, lambda _: {"tensor": "t"}), "batch")
    assert (kind, why) == ("lost", "nested too deeply")
