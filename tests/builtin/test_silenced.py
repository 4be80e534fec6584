"""Logits that nothing reaches are told if their classes occur; masks of classes that do not are healthy."""

from typing import Any

import numpy as np
import pytest

from tests.builtin.runs import only, silent, window
from torchvitals.builtin.no_gradient import NoGradient
from torchvitals.core.finding import Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.testing import table

TV204 = NoGradient()


def net(*, idle=4.0, absent=1, steps=12, op="cross_entropy", count=10.0, start=0, after=""):
    """A run of a body and a head for ten classes, of whose biases so many have a gradient of 0."""
    names = ("body.weight", "body.bias", "head.weight", "head.bias")
    loss: Any = table("loss", (op,), op=op, classes=10.0, after=after)
    loss.units["present"] = (np.arange(10) >= absent,)
    kinds = {
        "activation": table("activation", ("body", "head")),
        "update": table("update", names, count=[64.0, 8.0, 80.0, count], idle=[0.0, 0.0, 8 * idle, idle]),
        "gradient": table("gradient", names),
        "parameter": table("parameter", names),
        "wiring": table("wiring", names),
        "loss": loss,
    }
    return window(Snapshot(start + i, {"loss": 2.3}, {}, kinds) for i in range(steps))


def test_logits_without_a_gradient_whose_classes_occur_are_told_at_the_eighth_step():
    finding = only(TV204, net(steps=8))
    assert (finding.severity, finding.where, finding.since) == (Severity.WARNING, ("head",), 0)
    assert finding.message.startswith("At least 3 logits of head")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"idle": 0.0}, id="every logit learns"),
        pytest.param({"idle": 4.0, "absent": 4}, id="masked classes do not occur"),
        pytest.param({"steps": 7}, id="too few steps"),
        pytest.param({"idle": 10.0}, id="other copies of the weights are trained"),
        pytest.param({"after": "relu"}, id="clipped logits, which have a finding of their own"),
        pytest.param({"op": "mse_loss"}, id="another loss"),
        pytest.param({"count": 12.0}, id="not the layer of the logits"),
        pytest.param({"start": 500}, id="a net that has learned: nothing is left of a gradient"),
    ],
)
def test_other_heads_are_left_alone(options):
    assert silent(TV204, net(**options))
