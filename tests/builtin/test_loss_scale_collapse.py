"""TV205 tells a scale that collapses from one that settles; without this the skips that every scaler makes by
design would be alarms, or a run in which no step is ever made would look calm.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builtin.runs import only, silent, window
from torchvitals.builtin.loss_scale_collapse import LossScaleCollapse
from torchvitals.core.finding import Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.testing import check_diagnostic, table

TV205 = LossScaleCollapse()


def scaler(overflows, steps: int, *, scale: float = 2.0**16, growth: int = 2000, known: bool = True):
    """What a scaler does: halve and skip where `overflows` says so, double after `growth` clean steps."""
    clean = 0
    for step in range(steps):
        skipped = overflows(step, scale)
        labels = {"skipped": "scaler"} if skipped else {}
        yield Snapshot(step, {"loss": 1.0, **({"loss_scale": scale} if known else {})}, labels, due=step < 16)
        clean = 0 if skipped else clean + 1
        scale = scale / 2 if skipped else scale * 2 if clean % growth == 0 else scale


def ever(overflows, steps: int, **options) -> list:
    """What is found at any step of the run."""
    runs = list(scaler(overflows, steps, **options))
    return [f for n in range(1, steps + 1) for f in TV205.diagnose(window(runs[max(0, n - 80) : n]))]


@pytest.mark.parametrize("room", [2.0**14, 2.0**6, 2.0])
def test_a_scale_that_begins_too_high_and_settles_is_healthy(room):
    assert not ever(lambda _, scale: scale > room, 150)


def test_a_scale_that_begins_at_2_to_the_32_may_take_longer():
    assert not ever(lambda _, scale: scale > 2.0**5, 150, scale=2.0**32)


@pytest.mark.parametrize("growth", [2000, 100, 20])
def test_the_skip_after_each_growth_is_healthy(growth):
    assert not ever(lambda _, scale: scale > 2.0**12, 400, growth=growth)


def test_a_rare_overflow_is_healthy():
    assert not ever(lambda step, _: step % 50 == 49, 300)


def test_an_overflow_at_any_scale_is_critical_as_soon_as_the_scale_is_below_1():
    runs = list(scaler(lambda *_: True, 40))
    assert silent(TV205, window(runs[:17]))
    finding = only(TV205, window(runs[:18]))
    assert (finding.severity, finding.since, finding.where) == (Severity.CRITICAL, 0, ("scaler",))
    assert finding.evidence == {"skipped_in_a_row": 18, "loss_scale": 0.5}


def test_the_site_where_the_latest_look_saw_it_come_up_is_named_first():
    runs = []
    for snapshot in scaler(lambda *_: True, 20):
        sites = table("activation_gradient", ("fc1", "act", "fc2"), nonfinite=[8.0, 8.0, 0.0])
        tables = {"activation_gradient": sites} if snapshot.due else {}
        runs.append(Snapshot(snapshot.step, snapshot.scalars, snapshot.labels, tables, snapshot.due))
    assert only(TV205, window(runs)).where == ("act", "fc1", "scaler")


def test_an_overflow_that_begins_in_training_is_dated_to_its_first_skip():
    runs = list(scaler(lambda step, scale: scale > 2.0**12 or step >= 70, 100))
    assert only(TV205, window(runs)).since == 70


def test_without_a_known_scale_the_skips_are_counted():
    runs = list(scaler(lambda *_: True, 30, known=False))
    assert silent(TV205, window(runs[:23]))
    assert only(TV205, window(runs[:24])).severity is Severity.CRITICAL


def test_a_scale_that_stands_still_does_not_excuse_endless_skips():
    runs = [Snapshot(i, {"loss": 1.0, "loss_scale": 4096.0}, {"skipped": "scaler"}) for i in range(24)]
    assert only(TV205, window(runs)).severity is Severity.CRITICAL


def test_steps_that_overflow_again_and_again_are_a_warning():
    runs = list(scaler(lambda step, _: step % 6 == 0, 90))
    finding = only(TV205, window(runs))
    assert (finding.severity, finding.cause) == (Severity.WARNING, "gradients overflow again and again")


def test_a_scale_that_fell_below_1_stays_a_warning_although_steps_are_made():
    runs = list(scaler(lambda step, _: step < 18, 60))
    finding = only(TV205, window(runs))
    assert (finding.severity, finding.since) == (Severity.WARNING, 17)
    assert silent(TV205, window(scaler(lambda *_: False, 60, scale=0.5)))  # as it was chosen


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 0.02))
def test_chance_overflows_of_two_in_a_hundred_are_healthy(seed, share):
    draws = np.random.default_rng(seed).random(200) < share
    found = ever(lambda step, _: bool(draws[step]), 200)
    assert all(f.evidence["skipped_share"] > 0.1 for f in found) or not found


# -- float16 without a scale

LATTICE = 2.0**-24
"""Numbers of float16 below 2^-14 are multiples of this."""


def flushed(step: int, sigma: float, *, silent_units: float = 0.0, loss: float = 1.0, gap: float = 2.0**-10):
    """A look at gradients drawn with this deviation in float64 and rounded to float16."""
    draw = np.random.default_rng(step)
    exact = sigma * draw.standard_normal(4096)
    exact[: int(silent_units * 4096)] = 0.0
    half = exact.astype(np.float16).astype(np.float64) if gap == 2.0**-10 else exact
    name = ("body.weight",)
    tables = {
        "update": table("update", name, count=4096.0, idle=float((half == 0).sum()), resolution=gap),
        "gradient": table("gradient", name, count=4096.0, sum_sq=float((half**2).sum())),
    }
    return Snapshot(step, {"loss": loss, "lr": 0.1}, {}, tables)


def lost_in_theory(sigma: float) -> float:
    """Share of normal gradients of this deviation that round to 0: those below half the smallest number."""
    return math.erf(LATTICE / 2 / sigma / math.sqrt(2))


@pytest.mark.parametrize("sigma", [1e-8, 3e-8, 4e-8])
def test_gradients_that_float16_flushes_are_a_warning(sigma):
    runs = [flushed(i, sigma) for i in range(3)]
    assert silent(TV205, window(runs[:2]))
    finding = only(TV205, window(runs))
    assert (finding.severity, finding.where) == (Severity.WARNING, ("body",))
    assert finding.evidence["idle_share"] == pytest.approx(lost_in_theory(sigma), abs=0.03)


@pytest.mark.parametrize(
    "options",
    [
        {"sigma": 2e-6},
        {"sigma": 1e-3, "silent_units": 0.9},  # a sparse net has zeros, too
        {"sigma": 2e-6, "silent_units": 0.7},
        {"sigma": 1e-8, "gap": 2.0**-7},  # bfloat16
        {"sigma": 1e-8, "gap": 2.0**-23},
    ],
    ids=str,
)
def test_gradients_that_float16_can_hold_are_healthy(options):
    assert silent(TV205, window(flushed(i, **options) for i in range(20)))


def autocast(snapshot: Snapshot) -> Snapshot:
    """The same look at float32 weights of which the products were made in float16."""
    sites = table("activation", ("body",), op="Linear", limit=65504.0)
    wide = table("update", ("body.weight",), count=4096.0, idle=snapshot["update"]["idle"][0])
    return Snapshot(
        snapshot.step, snapshot.scalars, {}, {**snapshot.tables, "update": wide, "activation": sites}
    )


@pytest.mark.parametrize("sigma", [1e-9, 3e-8])
def test_autocast_without_a_scaler_flushes_gradients_of_float32_weights(sigma):
    finding = only(TV205, window(autocast(flushed(i, sigma)) for i in range(3)))
    assert finding.evidence["idle_share"] == pytest.approx(lost_in_theory(sigma), abs=0.03)
    assert silent(TV205, window(autocast(flushed(i, 1e-4, silent_units=0.9)) for i in range(9)))


def test_a_run_that_has_converged_may_have_small_gradients():
    runs = [flushed(i, 1e-4) for i in range(5)]
    assert silent(TV205, window([*runs, *(flushed(i, 2e-8, loss=0.1) for i in range(5, 20))]))


def test_a_scaler_speaks_for_itself():
    runs = [flushed(i, 2e-8) for i in range(9)]
    scaled = [Snapshot(s.step, {**s.scalars, "loss_scale": 1024.0}, s.labels, s.tables) for s in runs]
    assert silent(TV205, window(scaled))


def test_it_keeps_the_rules_of_the_house():
    stuck = window(scaler(lambda *_: True, 40))
    check_diagnostic(LossScaleCollapse, windows=[stuck, window(flushed(i, 2e-8) for i in range(5))])
