"""The start of a training survives a trip through JSON, infinite depths and missing gradients included."""

import json
import math

import pytest

from torchvitals.core.start import Site, Start

START = Start(
    profile=(
        Site("a", "Linear", 1.5, 0.25),
        Site("b", "relu", math.inf, None),
        Site("c", "Linear", 0.0, 0.0),
    ),
    factors={"signal": 0.5, "expected_signal": 0.41},
    trainable_depth=7.7,
    without_gradient=("b.bias",),
)


@pytest.mark.parametrize("depth", [7.7, math.inf, None])
def test_what_json_gives_back_is_what_was_told(depth):
    start = Start(**{**vars(START), "trainable_depth": depth})
    assert Start.from_dict(json.loads(json.dumps(start.to_dict(), allow_nan=False))) == start
