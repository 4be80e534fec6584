"""TV307 tells weights that run away or are pressed to nothing from weights that grow and shrink in health."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builtin.runs import only, silent, verdict
from tests.builtin.step_runs import MATRICES, louder, moved, of, turned
from torchvitals.builtin.weight_runaway import WeightRunaway
from torchvitals.core.finding import Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.tables import Table
from torchvitals.testing import check_diagnostic

TV307 = WeightRunaway()


def run(sizes, losses, **options) -> list[Snapshot]:
    return [
        moved(i, 1e-2, size=s, loss=float(x), **options)
        for i, (s, x) in enumerate(zip(sizes, losses, strict=True))
    ]


GROWING = run(2.0 ** np.arange(12), 2.3 * 1.5 ** np.arange(12))
PRESSED = run(0.9 ** np.arange(60), [2.3] * 60, weight_decay=1.0)
HALF = run(np.linspace(1, 0.3, 60), [2.3] * 60, weight_decay=0.5)


def test_it_keeps_the_rules_of_the_house():
    check_diagnostic(WeightRunaway, windows=[of(GROWING), of(PRESSED)])


def test_weights_that_double_each_step_while_the_loss_rises_are_critical():
    finding = only(TV307, of(GROWING))
    assert (finding.severity, finding.since) == (Severity.CRITICAL, 0)
    assert finding.evidence["doublings_per_step"] == pytest.approx(1)
    assert finding.message.startswith("The weights double every 1 steps, and the loss has blown up")
    assert finding.where == MATRICES


def test_the_onset_of_a_growth_is_where_its_straight_line_begins():
    flat = run([1.0] * 16, [2.3] * 16)
    grown = [moved(16 + i, 1e-2, size=2.0**i, loss=2.3 * 1.5**i) for i in range(14)]
    finding = only(TV307, of([*flat, *grown]))
    assert 8 <= finding.since <= 16


def test_weights_that_decay_presses_to_nothing_are_critical_and_half_of_it_is_a_warning():
    finding = only(TV307, of(PRESSED))
    assert (finding.severity, finding.cause) == (
        Severity.CRITICAL,
        "over-regularised: weight decay too strong",
    )
    assert finding.evidence["share_left"] == pytest.approx(0.9**59)
    assert finding.remedies[0].overrides == ("optimizer.weight_decay=1e-4",)
    assert only(TV307, of(HALF)).severity is Severity.WARNING


def test_decoupled_decay_is_compared_with_the_update():
    """AdamW: the decay's part of the update is lr x weight_decay, here 0.01 of the weight."""
    strong = {"optimizer": "AdamW", "lr": 1e-3, "weight_decay": 10.0}
    assert not silent(TV307, of(run(np.linspace(1, 0.3, 60), [2.3] * 60, **strong)))
    weak = {"optimizer": "AdamW", "lr": 1e-3, "weight_decay": 1.0}
    assert silent(TV307, of(run(np.linspace(1, 0.3, 60), [2.3] * 60, **weak)))


def normed(gains: np.ndarray, losses, **options) -> list[Snapshot]:
    """A matrix that stays as it is, and the gains of a normalisation that go this way."""
    names, fan_in = ("fc1.weight", "norm.weight"), (64.0, 0.0)
    looks = []
    for i, (gain, loss) in enumerate(zip(gains, losses, strict=True)):
        look = moved(i, 1e-3, size=(1.0, gain), loss=float(loss), names=names, fan_in=fan_in, **options)
        old = look["parameter"]
        parameter = Table(old.kind, old.names, {**old.columns, "op": np.array(["Linear", "LayerNorm"])})
        tables = {**look.tables, "parameter": parameter}
        looks.append(Snapshot(i, look.scalars, look.labels, tables))
    return looks


def test_gains_that_decay_presses_to_nothing_are_told_though_the_matrices_stay():
    shrinking, strong = 0.9 ** np.arange(60), {"weight_decay": 1.0, "gradient": 1e-4}
    finding = only(TV307, of(normed(shrinking, [2.3] * 60, **strong)))
    assert (finding.severity, finding.where) == (Severity.CRITICAL, ("norm.weight",))
    assert "pressed the gains to" in finding.message
    assert silent(TV307, of(normed(shrinking, [2.3] * 60, gradient=1e-4)))
    slimmed = 2.3 * 0.9 ** np.arange(60)
    assert silent(TV307, of(normed(shrinking, slimmed, **strong)))


# -- healthy look-alikes


@pytest.mark.parametrize(
    ("sizes", "losses", "options"),
    [
        pytest.param(
            np.sqrt(1 + 400.0 * np.arange(60)), [2.3] * 60, {}, id="scale-invariant weights grow like sqrt(t)"
        ),
        pytest.param(2.0 ** np.arange(12), 2.3 * 0.8 ** np.arange(12), {}, id="the loss falls"),
        pytest.param(
            0.9 ** np.arange(60),
            [2.3, *[0.01] * 59],
            {"weight_decay": 1.0},
            id="grokking shrinks at loss near 0",
        ),
        pytest.param(np.linspace(1, 0.3, 60), [2.3] * 60, {}, id="no decay that could press"),
        pytest.param(
            np.linspace(1, 0.3, 60),
            [2.3] * 60,
            {"weight_decay": 1e-4, "gradient": 1e-2},
            id="a decay weaker than the gradient",
        ),
        pytest.param(
            0.9 ** np.arange(60), [2.3] * 60, {"weight_decay": 1.0, "fan_in": 0.0}, id="slimmed gains"
        ),
        pytest.param([1.0] * 60, [2.3] * 60, {"weight_decay": 1.0}, id="steady weights"),
    ],
)
def test_healthy_weights_are_silent(sizes, losses, options):
    assert silent(TV307, of(run(sizes, losses, **options)))


# -- laws


@given(st.sampled_from([GROWING, PRESSED, run([1.0] * 40, [2.3] * 40)]), st.integers(0, 20))
def test_the_verdict_does_not_change_when_the_loss_is_scaled_and_the_decay_with_it(steps, power):
    """The pull of a decay is judged against the gradient, so that both are scaled."""
    factor = 2.0**power
    scaled = [louder(s, factor) for s in steps]
    scaled = [
        Snapshot(
            s.step,
            {**s.scalars, "weight_decay": factor * s.scalars.get("weight_decay", 0)},
            s.labels,
            s.tables,
        )
        for s in scaled
    ]
    one = [(f.severity, f.where, f.since, f.cause) for f in TV307.diagnose(of(scaled))]
    assert one == [(f.severity, f.where, f.since, f.cause) for f in TV307.diagnose(of(steps))]


@given(st.sampled_from([GROWING, PRESSED]))
def test_the_order_of_the_parameters_changes_only_the_order_of_the_names(steps):
    one, other = list(TV307.diagnose(of(steps))), list(TV307.diagnose(of(map(turned, steps))))
    assert [f.where[::-1] for f in other] == [f.where for f in one]


def test_a_step_that_overflowed_changes_nothing():
    bad = moved(60, 1.0, size=1e30, loss=float("inf"))
    assert verdict(TV307.diagnose(of([*PRESSED, bad]))) == verdict(TV307.diagnose(of(PRESSED)))
