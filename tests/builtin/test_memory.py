"""A recurrent net that forgets is told where nothing is learned; without this every LSTM would be ill."""

from typing import Any

import numpy as np
import pytest

from tests.builtin.loss_runs import alarms, findings, run
from torchvitals.builtin.vanishing_gradient import VanishingGradient
from torchvitals.core.finding import Severity
from torchvitals.testing import table

TV201 = VanishingGradient()
CHANCE = float(np.log(10))
RNG = np.random.default_rng(0)
STUCK = CHANCE + 0.02 * RNG.standard_normal(260)
FALLING = CHANCE * np.exp(-np.arange(260) / 60) + 0.02


def reading(losses, decades=5.0, **columns: Any):
    """A run with one RNN that reads 60 steps, through which the gradient loses so many decades."""
    rows: Any = {"early_sq": 10.0 ** (-2 * decades), "late_sq": 1.0, "steps": 60.0, **columns}
    return run(
        losses, op="cross_entropy", tables={"memory": table("memory", ("rnn",), **{"op": "RNN", **rows})}
    )


def test_a_net_that_learns_nothing_and_forgets_is_told():
    step, finding = alarms(TV201, reading(STUCK))[0]
    assert 192 <= step < 220
    assert (finding.severity, finding.where) == (Severity.WARNING, ("rnn",))
    assert finding.evidence == {"decades_lost": pytest.approx(5.0), "time_steps": 60}
    assert finding.cause.startswith("the RNN forgets")


def test_a_gradient_of_exactly_0_has_faded_as_well():
    assert alarms(TV201, reading(STUCK, early_sq=0.0))


@pytest.mark.parametrize(
    "snapshots",
    [
        pytest.param(reading(FALLING), id="it learns all the same"),
        pytest.param(reading(STUCK, 2.5), id="it remembers"),
        pytest.param(reading(STUCK, -5.0), id="it remembers the beginning best"),
        pytest.param(reading(STUCK, early_sq=0.0, late_sq=0.0), id="no gradient at all"),
        pytest.param(reading(STUCK[:150]), id="it is early"),
    ],
)
def test_other_recurrent_nets_are_left_alone(snapshots):
    assert findings(TV201, snapshots) == []


def test_the_unit_of_the_loss_does_not_matter():
    large = reading(STUCK, early_sq=1e-10 * 1e12, late_sq=1e12)
    assert [f.evidence for _, f in alarms(TV201, large)] == [
        f.evidence for _, f in alarms(TV201, reading(STUCK))
    ]
