"""A normalisation over one number is told; those that merely start at 0 or are fed with nothing are not."""

import pytest

from tests.builtin.runs import silent, window
from torchvitals.builtin.signal_collapse import SignalCollapse
from torchvitals.core.finding import Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.testing import table

TV103 = SignalCollapse()
SITES = ("first", "norm", "relu", "head")


def looks(steps=20, *, square=0.0, spread=(56.0, 0.0, 0.0, 56.0), gain=1.0, bias=0.0, op="LayerNorm"):
    """A net of a layer, its norm, an activation and a head, of 64 entries each."""
    names = ["first.weight", *(["norm.weight", "norm.bias"] if gain is not None else [])]
    sums = [64.0, *([64 * gain, 64 * bias] if gain is not None else [])]
    kinds = {
        "activation": table(
            "activation",
            SITES,
            op=("Linear", op, "relu", "Linear"),
            sum_sq=[64.0, 64 * square, 64 * square, 64.0],
            spread=spread,
        ),
        "parameter": table("parameter", names, sum_sq=sums),
    }
    return window(Snapshot(i, {"loss": 2.3}, {"optimizer": "SGD"}, kinds) for i in range(steps))


@pytest.mark.parametrize(
    "options", [{}, {"gain": None}, {"square": 0.3, "bias": 0.3}, {"op": "GroupNorm"}, {"op": "BatchNorm1d"}]
)
def test_a_norm_that_gives_nothing_but_its_bias_is_named(options):
    (finding,) = TV103.diagnose(looks(**options))
    assert (finding.severity, finding.where, finding.since) == (Severity.WARNING, ("norm",), 0)
    assert finding.cause == "normalisation over a single value"


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"square": 1.3, "bias": 0.3}, id="a norm that works"),
        pytest.param({"square": 1.0, "spread": (56.0, 0.0, 0.0, 56.0)}, id="a norm of learned queries"),
        pytest.param({"gain": 0.0}, id="a branch whose gain starts at 0"),
        pytest.param({"spread": (0.0, 0.0, 0.0, 56.0)}, id="behind a layer that gives a constant"),
        pytest.param({"spread": (1e-12, 0.0, 0.0, 56.0)}, id="or one but for rounding"),
        pytest.param({"op": "Linear"}, id="no norm"),
        pytest.param({"steps": 7}, id="too few looks"),
    ],
)
def test_other_norms_are_left_alone(options):
    assert silent(TV103, looks(**options))
