"""Without this file the last lines could claim more than was measured or judged: exact sentences."""

import pytest

from tests.support.runs import healthy, loss_spike
from torchvitals.core.summary import Coverage, Summary
from torchvitals.reporters.footer import looked, meaning
from torchvitals.reporters.text import render


@pytest.mark.parametrize(
    ("measured", "things"),
    [
        pytest.param({}, "", id="nothing"),
        pytest.param(
            {"activation": 21, "gradient": 22, "parameter": 22, "update": 22, "activation_gradient": 21},
            ": 21 sites with their gradients, 22 parameters with their updates and gradients",
            id="all",
        ),
        pytest.param(
            {"activation": 3, "activation_gradient": 2}, ": 3 sites, 2 gradients of sites", id="other-number"
        ),
        pytest.param({"parameter": 1, "gradient": 1}, ": 1 parameter with its gradients", id="one"),
        pytest.param({"rank": 8, "rank_gradient": 8}, ": 8 ranks with their gradients", id="ranks"),
        pytest.param({"gradient": 1, "update": 0}, ": 1 gradient of a parameter", id="only-gradient"),
        pytest.param(
            {"input": 1, "output": 2, "silence": 1, "curvature": 4},
            ": 1 input, 2 outputs, 1 layer checked for silent units, 4 rows of curvature",
            id="others",
        ),
    ],
)
def test_what_was_looked_at_is_what_was_measured(measured: dict[str, int], things: str) -> None:
    assert looked(Coverage(steps=100, looks=38, measured=measured)) == f"at 38 of 100 steps{things}"


def test_healthy_names_what_was_not_found() -> None:
    coverage = Coverage(steps=9, looks=3, judged=("dead-units", "loss-spike", "non-finite"))
    summary = Summary(verdict="healthy", incidents=(loss_spike(),), coverage=coverage)
    assert meaning(summary) == "none of dead-units, non-finite was found"
    assert render(summary).endswith("\nhealthy:  none of dead-units, non-finite was found")


def test_nothing_is_said_of_health_where_nobody_judged_or_it_is_not_there() -> None:
    ill = Summary(verdict="ill", coverage=Coverage(judged=("dead-units",)))
    assert (meaning(healthy()), meaning(ill)) == ("", "")
