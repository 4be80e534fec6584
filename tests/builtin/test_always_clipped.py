"""TV207 accuses a limit that stops the training and no other; without this every language model that clips at
1.0 would raise an alarm.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builtin.runs import only, silent, verdict, window
from tests.builtin.step_runs import called, together
from torchvitals.builtin.always_clipped import AlwaysClipped
from torchvitals.core.finding import Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.schedule import Schedule
from torchvitals.testing import check_diagnostic, table

TV207 = AlwaysClipped()
STEPS = [step for step in range(300) if Schedule().due(step)]
LATE = [step for step in STEPS if step >= 16]


def look(
    step: int,
    *,
    left: float = 0.01,
    ratio: float = 1e-7,
    loss: float = 1.0,
    brought: float = 50.0,
    optimizer: str = "SGD",
    **scalars: float,
) -> Snapshot:
    """A look at which clipping left this part of a gradient of norm `brought`."""
    names = ("a.weight", "b.weight")
    tables = {
        "witness": table("witness", names[:1], incoming_sq=brought**2, sum_sq=(left * brought) ** 2),
        "update": table("update", names, sum_sq=64 * ratio**2),
        "parameter": table("parameter", names, sum_sq=64.0),
    }
    return Snapshot(step, {"loss": loss, "lr": 0.1, **scalars}, {"optimizer": optimizer}, tables)


def test_a_limit_that_stops_the_training_is_a_warning_after_twenty_looks():
    runs = [look(step) for step in LATE]
    assert silent(TV207, window(runs[:19]))
    finding = only(TV207, window(runs[:20]))
    assert (finding.severity, finding.where, finding.since) == (Severity.WARNING, ("optimizer",), 16)
    assert finding.evidence["clip_coefficient"] == pytest.approx(0.01)
    assert finding.evidence["update_ratio"] == pytest.approx(1e-7)


def guessing(ratio: float, loss: float, looks: int = 24) -> list[Snapshot]:
    """Ten classes, at a loss that falls slowly by a fifth to `loss`."""
    losses = np.linspace(1.2 * loss, loss, looks)
    rows = [look(step, ratio=ratio, loss=x) for step, x in zip(LATE, losses, strict=False)]
    return [together(s, called(s.step, mean=s.loss, prior=32 * np.log(10))) for s in rows]


def test_updates_below_the_usual_count_where_nothing_but_guessing_was_learned_in_twenty_four_looks():
    assert only(TV207, window(guessing(5e-5, 2.3))).message.endswith(
        "the loss has come to no more than a guess."
    )
    assert silent(TV207, window(guessing(5e-5, 2.3, looks=23)))
    assert silent(TV207, window(guessing(2e-4, 2.3)))
    assert silent(TV207, window(guessing(5e-5, 1.8)))


def falling(step: int) -> float:
    return float(np.exp(-step / 60))


@pytest.mark.parametrize(
    "options",
    [
        {"ratio": 1e-3},  # clipped at every step, and learning
        {"left": 0.3},
        {"left": 1.0},
        {"optimizer": "AdamW"},
        {"ratio": 0.0},  # nothing moves at all: another diagnostic's
        {"brought": 0.0},  # several backward passes
        {"loss_scale": 65536.0, "left": 1 / 65536},  # unscaled between backward and step
    ],
    ids=str,
)
def test_clipping_that_leaves_something_to_learn_with_is_healthy(options):
    assert silent(TV207, window(look(step, **options) for step in STEPS))


def test_clipping_while_the_loss_falls_is_healthy():
    assert silent(TV207, window(look(step, loss=falling(step)) for step in STEPS))


def test_clipping_under_a_scaler_is_seen_through_its_scale():
    assert not silent(TV207, window(look(s, loss_scale=1024.0, left=1e-2 / 1024) for s in STEPS))


def test_rare_looks_without_clipping_do_not_acquit_and_many_do():
    def every(n: int):
        return window(look(step, left=1.0 if i % n == 0 else 0.01) for i, step in enumerate(LATE))

    assert not silent(TV207, every(40))
    assert silent(TV207, every(10))


def test_clipping_in_the_first_steps_is_forgiven():
    assert silent(TV207, window(look(step, left=0.01 if step < 16 else 1.0) for step in STEPS))


def test_steps_that_are_not_finite_do_not_count():
    assert silent(TV207, window(look(step, loss=np.nan) for step in STEPS))


@settings(max_examples=25)
@given(st.sampled_from([0.01, 0.04, 0.5]), st.sampled_from([1e-7, 1e-4]), st.sampled_from([1e-3, 30.0]))
def test_the_verdict_knows_no_scale_of_the_loss(left, ratio, factor):
    runs = [look(step, left=left, ratio=ratio) for step in STEPS]
    loud = [look(step, left=left, ratio=ratio, loss=factor, brought=50 * factor) for step in STEPS]
    assert verdict(TV207.diagnose(window(runs))) == verdict(TV207.diagnose(window(loud)))


def test_it_keeps_the_rules_of_the_house():
    check_diagnostic(AlwaysClipped, windows=[window(look(step) for step in STEPS)])
