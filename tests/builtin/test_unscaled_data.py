"""TV502 notes data of odd scale and warns only with harm; without this raw pixels would always alarm."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builtin.runs import only, silent
from tests.builtin.step_runs import called, moved, of, together
from torchvitals.builtin.unscaled_data import UnscaledData
from torchvitals.core.finding import Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.testing import check_diagnostic, table

TV502 = UnscaledData()


def look(
    step: int,
    loss: float,
    *,
    rms: float = 1.0,
    top: float = 0.05,
    first: str = "Linear",
    flat: float | None = None,
    **row,
) -> Snapshot:
    """A look at inputs of this RMS, with one loss function called; `flat` is the first tanh's flat share."""
    tables = {
        "features": table("features", ("input",), sum_sq=64 * rms**2, top_column=top),
        "activation": table("activation", ("first", "second"), op=[first, "relu"]),
    }
    if flat is not None:
        tables["saturation"] = table("saturation", ("act1", "act2"), saturated=[64 * flat, 0.0])
    data = Snapshot(step, {"loss": loss}, {}, tables)
    call = {"mean": loss if math.isfinite(loss) else 1.0, "prior": 32 * math.log(10), **row}
    return together(data, called(step, **call, loss=loss), moved(step, loss=loss))


def run(losses, **options) -> list[Snapshot]:
    return [look(i, float(x), **options) for i, x in enumerate(losses)]


FALLS = [112 * 0.8**i for i in range(40)]
FAR = {"op": "mse_loss", "classes": 0.0, "prior": 0.0, "target_sq": 32 * 1e10, "sum_sq": 32.0}


def test_it_keeps_the_rules_of_the_house():
    check_diagnostic(UnscaledData, windows=[of(run([112, 1e5, 1e6, 1e8, 1e9], rms=124.0))])


def test_raw_pixels_are_a_note_while_the_loss_falls():
    finding = only(TV502, of(run(FALLS, rms=124.0)))
    assert (finding.severity, finding.where, finding.since) == (Severity.INFO, ("input",), 0)
    assert finding.message == "Input has an RMS of 124 where nets expect about 1."


@pytest.mark.parametrize(
    ("losses", "harm"),
    [
        ([112, 1e5, 1e6, 1e8, 1e9], "the loss has blown up"),
        ([112, 300, math.nan], "the numbers have overflowed"),
        ([112, *[2.31, 2.29] * 20], "the loss stands still"),
        ([1e6 - i for i in range(40)], "the loss is still far above that of a constant prediction"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_raw_pixels_with_harm_are_a_warning_from_the_first_step(losses, harm):
    finding = only(TV502, of(run(losses, rms=124.0)))
    assert (finding.severity, finding.since, finding.evidence["harm"]) == (Severity.WARNING, 0, harm)
    assert finding.cause == "inputs are not scaled"


def small(losses, largest: float) -> list[Snapshot]:
    """Looks at inputs of which no entry is larger."""
    features = table("features", ("input",), sum_sq=64 * (largest / 3) ** 2, top_column=0.05, abs_max=largest)
    looks = run(losses)
    return [Snapshot(s.step, s.scalars, s.labels, {**s.tables, "features": features}) for s in looks]


def test_inputs_of_next_to_nothing_are_a_note_and_with_harm_a_warning():
    finding = only(TV502, of(small(FALLS, 1e-4)))
    assert finding.severity is Severity.INFO
    assert finding.message == "No entry of input exceeds 0.0001 where nets expect about 1."
    assert only(TV502, of(small([2.4, *[2.31, 2.29] * 20], 1e-4))).severity is Severity.WARNING


def test_inputs_of_zeros_and_sparse_ones_have_no_odd_scale():
    assert silent(TV502, of(small(FALLS, 0.0)))
    assert silent(TV502, of(small(FALLS, 1.0)))


def test_a_first_activation_that_is_flat_is_harm_enough():
    finding = only(TV502, of(run(FALLS[:3], rms=124.0, flat=0.95)))
    assert finding.severity is Severity.WARNING
    assert only(TV502, of(run(FALLS[:3], rms=124.0, flat=0.3))).severity is Severity.INFO


def test_the_activation_that_an_input_has_flattened_is_named_before_it():
    assert only(TV502, of(run(FALLS[:3], rms=124.0, flat=0.95))).where == ("act1", "input")
    assert only(TV502, of(run(FALLS[:3], rms=124.0, flat=0.3))).where == ("input",)


def test_one_column_that_hides_the_others_is_told():
    finding = only(TV502, of(run(FALLS, top=0.999)))
    assert (finding.severity, finding.evidence["share_of_column"]) == (Severity.INFO, 0.999)
    assert not silent(TV502, of(run([2.3] * 40, top=0.999)))


def test_targets_that_stay_far_away_are_a_warning_once_the_loss_crawls():
    assert only(TV502, of(run([1e10] * 23, **FAR))).severity is Severity.INFO
    finding = only(TV502, of(run([1e10] * 24, **FAR)))
    assert (finding.severity, finding.cause) == (Severity.WARNING, "targets are not scaled")
    assert finding.evidence["times_the_output"] == pytest.approx(1e5)
    assert finding.where == ("second", "mse_loss")


def test_targets_that_the_output_has_reached_are_silent():
    reached = [look(i, 1e8, **{**FAR, "sum_sq": 32e10}) for i in range(24, 40)]
    assert silent(TV502, of([*run([1e10 * 0.8**i for i in range(24)], **FAR), *reached]))


def test_targets_that_blew_the_outputs_up_are_still_the_reason():
    blown = [look(1 + i, 10.0 ** (12 + i), **{**FAR, "sum_sq": 1e30}) for i in range(6)]
    finding = only(TV502, of([look(0, 1e10, **FAR), *blown]))
    assert (finding.severity, finding.cause) == (Severity.WARNING, "targets are not scaled")


# -- healthy look-alikes


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"rms": 1.0}, id="standardised"),
        pytest.param({"rms": 2.7}, id="images in [-2.1, 2.7]"),
        pytest.param({"rms": 0.1}, id="one-hot"),
        pytest.param({"rms": 124.0, "first": "BatchNorm2d"}, id="pixels behind a batch normalisation"),
        pytest.param({"rms": 50.0, "first": "LayerNorm"}, id="log-mel behind a layer normalisation"),
        pytest.param({"rms": 50.0, "first": "batch_norm"}, id="a functional normalisation"),
        pytest.param({"op": "mse_loss", "target_sq": 32 * 100.0, "classes": 0.0}, id="targets near 10"),
        pytest.param(
            {"op": "mse_loss", "target_sq": 32.0, "sum_sq": 0.0, "classes": 0.0}, id="an output of exactly 0"
        ),
    ],
)
@pytest.mark.parametrize("losses", [FALLS, [2.3] * 40], ids=["falls", "stands still"])
def test_usual_scales_are_silent(options, losses):
    assert silent(TV502, of(run(losses, **options)))


def test_a_nan_long_after_it_had_learned_has_another_reason():
    finding = only(TV502, of(run([*[112 * 0.7**i for i in range(30)], math.nan], rms=124.0)))
    assert finding.severity is Severity.INFO


def test_tokens_have_no_scale():
    steps = [
        Snapshot(s.step, s.scalars, s.labels, {k: t for k, t in s.tables.items() if k != "features"})
        for s in run([2.3] * 40, rms=124.0)
    ]
    assert silent(TV502, of(steps))


# -- laws


@given(
    st.sampled_from([{"rms": 124.0}, {"top": 0.999}, {"rms": 1.0}]),
    st.sampled_from([FALLS, [112, *[2.31, 2.29] * 20], [112, 1e5, 1e6, 1e8, 1e9]]),
    st.integers(-20, 20),
)
def test_the_verdict_does_not_change_when_the_run_s_loss_is_scaled(options, losses, power):
    """As a user who multiplies what the loss function gives; the call itself stays as it was."""
    steps = run(losses, **options)
    scaled = [
        Snapshot(s.step, {**s.scalars, "loss": s.scalars["loss"] * 2.0**power}, s.labels, s.tables)
        for s in steps
    ]
    one, other = list(TV502.diagnose(of(steps))), list(TV502.diagnose(of(scaled)))
    assert [(f.severity, f.cause) for f in one] == [(f.severity, f.cause) for f in other]


@given(st.floats(0, 5), st.floats(0, 0.99))
def test_data_within_the_limits_are_never_accused(rms, top):
    assert silent(TV502, of(run([2.3] * 4, rms=rms * 0.999, top=top)))
