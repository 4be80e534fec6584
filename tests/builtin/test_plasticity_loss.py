"""TV105 judges a trend and never a level; without this every net that specialises would be called ill."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builtin.runs import incidents, only, silent, verdict, window
from torchvitals.builtin.plasticity_loss import PlasticityLoss
from torchvitals.core.finding import Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.tables import Table
from torchvitals.testing import check_diagnostic, table

TV105 = PlasticityLoss()
UNITS = 40


def look(step: int, *shares: float, loss: float | None = 1.0, order: int = 0) -> Snapshot:
    """A look at which these shares of the units of layers `act0`, `act1`, ... were dormant."""
    names = tuple(f"act{i}" for i in range(len(shares)))
    given = table("silence", names, units=UNITS)
    draw = np.random.default_rng(order)
    bits = tuple(draw.permutation(np.arange(UNITS) < round(share * UNITS)) for share in shares)
    units = {"dormant": bits, "fired": given.units["fired"]}
    told = {} if loss is None else {"loss": loss}
    return Snapshot(step, told, {}, {"silence": Table("silence", names, given.columns, units)})


def run(start: float, end: float, losses) -> list[Snapshot]:
    """A share that goes from one to the other in a straight line."""
    line = np.linspace(start, end, len(losses))
    return [look(i, x, loss=loss) for i, (x, loss) in enumerate(zip(line, losses, strict=True))]


STILL = [1.0] * 24
FALLING = [0.9**i for i in range(24)]
TASKS = [*(0.7**i for i in range(8)), *(0.8**i for i in range(8)), *(0.99**i for i in range(8))]
"""Three tasks, each of which starts at a loss of 1 and is learned more slowly than the one before."""


@pytest.mark.parametrize(
    ("start", "end", "losses", "severity"),
    [
        pytest.param(0.0, 0.6, STILL, Severity.INFO, id="rises, and the loss stands still"),
        pytest.param(0.0, 0.6, TASKS, Severity.WARNING, id="rises, and each task is learned more slowly"),
        pytest.param(0.0, 0.6, FALLING, Severity.INFO, id="rises while the loss falls"),
        pytest.param(0.0, 0.2, STILL, None, id="hardly rises"),
        pytest.param(0.9, 0.9, STILL, None, id="a level, however high"),
        pytest.param(0.9, 0.1, STILL, None, id="falls"),
        pytest.param(0.0, 0.6, STILL[:12], None, id="too early for a trend"),
    ],
)
def test_a_rise_counts_where_it_does_harm(start, end, losses, severity):
    found = list(TV105.diagnose(window(run(start, end, losses))))
    assert [f.severity for f in found] == ([] if severity is None else [severity])


def test_the_finding_names_the_layers_that_fell_asleep_most_first():
    looks = [look(i, 0.3, 0.4 * i / 23, 0.9 * i / 23) for i in range(24)]
    finding = only(TV105, window(looks))
    assert finding.where == ("act2", "act1")
    assert finding.evidence["dormant_share_at_start"] == pytest.approx(0.12, abs=0.02)
    assert finding.evidence["dormant_share"] == pytest.approx(0.52, abs=0.02)
    assert finding.evidence["rank_correlation"] == pytest.approx(1, abs=0.01)
    assert 4 <= finding.since <= 12


def test_a_share_that_jumps_about_has_no_trend():
    looks = [look(i, 0.9 if i % 2 or i > 20 else 0.0) for i in range(24)]
    assert silent(TV105, window(looks))


def test_units_that_wake_up_resolve_it():
    looks = [*run(0, 0.6, STILL), *(look(24 + i, 0.0) for i in range(8))]
    (incident,) = incidents(TV105, looks)
    assert incident.resolved is not None


def test_losses_that_are_negative_are_not_compared():
    looks = run(0, 0.6, [-(1.1**i) for i in range(24)])
    assert only(TV105, window(looks)).severity is Severity.INFO


levels = st.lists(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.8]), min_size=20, max_size=30)


@given(levels, st.sampled_from([STILL, FALLING, TASKS]), st.sampled_from([1e-3, 1e4]), st.integers(1, 9))
def test_neither_the_loss_scale_nor_the_order_of_units_matter(shares, losses, factor, order):
    losses = (losses * 2)[: len(shares)]
    pairs = list(zip(shares, losses, strict=True))
    plain = [look(i, x, loss=y) for i, (x, y) in enumerate(pairs)]
    other = [look(i, x, loss=y * factor, order=order) for i, (x, y) in enumerate(pairs)]
    assert verdict(TV105.diagnose(window(plain))) == verdict(TV105.diagnose(window(other)))


def test_it_keeps_the_rules_of_the_house():
    check_diagnostic(PlasticityLoss, windows=[window(run(0, 0.6, STILL))])
