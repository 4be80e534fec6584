"""TV501 names the bad sample and leaves masks alone; without this a NaN in the data would look like a model
that diverges.
"""

import math

import numpy as np
import pytest

from tests.builtin.runs import incidents, only, silent, window
from torchvitals.builtin.bad_input import BadInput
from torchvitals.core.finding import Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.tables import ROWS
from torchvitals.testing import check_diagnostic, table

TV501 = BadInput()


def fed(
    step: int, *, bad: bool = False, loss: float = 1.0, output: float = 0.0, due: bool = True
) -> Snapshot:
    """A step whose batch has NaN in row 5, or has none."""
    given = table(
        "input", ("input", "input[1]"), nonfinite=[0.0, 2.0 * bad], first_bad=[2.0**53, step * ROWS + 5.0]
    )
    out = table("output", ("model",), nonfinite=output)
    return Snapshot(step, {"loss": loss, "iteration": step}, {}, {"input": given, "output": out}, due)


@pytest.mark.parametrize("harm", [{"loss": math.nan}, {"output": 3.0}], ids=str)
def test_a_bad_sample_is_named_by_batch_and_row(harm):
    finding = only(TV501, window([fed(0), fed(1), fed(2, bad=True, **harm)]))
    assert (finding.severity, finding.where, finding.since) == (Severity.CRITICAL, ("input[1]",), 2)
    assert finding.message == "Row 5 of input[1] in batch 2 holds NaN or Inf (2 entries)."
    assert finding.evidence == {"batch": 2, "row": 5, "entries": 2, "steps_affected": 1}


def test_gradients_alone_can_tell_the_harm():
    look = fed(1, bad=True)
    tables = {**look.tables, "gradient": table("gradient", ("w",), nonfinite=1.0)}
    assert only(TV501, window([Snapshot(1, {}, {}, tables)])).severity is Severity.CRITICAL


def test_a_mask_of_minus_infinity_and_missing_values_that_the_model_reads_are_a_note():
    finding = only(TV501, window(fed(i, bad=True) for i in range(20)))
    assert (finding.severity, finding.since) == (Severity.INFO, 0)


def test_the_batch_that_did_harm_is_told_and_not_a_mask_before_it():
    finding = only(TV501, window([fed(0, bad=True), fed(1, bad=True, loss=math.nan)]))
    assert (finding.severity, finding.since, finding.evidence["steps_affected"]) == (Severity.CRITICAL, 1, 2)


def test_finite_inputs_are_healthy_whatever_the_loss():
    assert silent(TV501, window(fed(i, loss=math.nan) for i in range(9)))


def test_a_bad_batch_is_over_when_its_time_has_passed():
    runs = [fed(i, bad=i == 3, loss=math.nan if i == 3 else 1.0) for i in range(90)]
    (incident,) = incidents(TV501, runs)
    assert (incident.onset, incident.last_seen, incident.resolved) == (3, 66, 69)


def batch(step: int, x: np.ndarray, y: np.ndarray, *, first: np.ndarray | None = None, **more: np.ndarray):
    """A look at a regression on these inputs, whose first site makes `first` of them."""
    given = {"input": x, **{f"input[{i + 1}]": v for i, v in enumerate(more.values())}}
    made = {"fc1": x @ np.full((x.shape[1], 3), 0.3) if first is None else first}
    target = table("loss", ("mse_loss",), target_low=float(y.min()), target_high=float(y.max()))
    bare = type(target)("loss", target.names, target.columns, {})
    tables = {"features": spreads("features", given), "activation": spreads("activation", made), "loss": bare}
    return Snapshot(step, {"loss": 1.0}, {}, tables)


def spreads(kind: str, tensors: dict[str, np.ndarray]):
    """The statistics of the contract, by their definition, in float64."""
    values = [x.astype(np.float64) for x in tensors.values()]
    return table(
        kind,
        tuple(tensors),
        count=[float(x.size) for x in values],
        sum_sq=[float((x**2).sum()) for x in values],
        spread=[float(((x - x.mean(0)) ** 2).sum()) for x in values],
        freedom=[float((len(x) - 1) * x[0].size) for x in values],
    )


DRAW = np.random.default_rng(0)
SAMPLE = DRAW.standard_normal((1, 20)).astype(np.float32) * 100
SAME = np.repeat(SAMPLE, 63, 0)
OTHER = DRAW.standard_normal((63, 20)).astype(np.float32)
Y = DRAW.standard_normal(63)


def test_equal_samples_with_different_targets_are_critical_at_the_third_look():
    runs = [batch(i, SAME, Y) for i in range(3)]
    assert silent(TV501, window(runs[:2]))
    finding = only(TV501, window(runs))
    assert (finding.severity, finding.where, finding.cause) == (
        Severity.CRITICAL,
        ("input",),
        "all samples are equal",
    )


def test_what_rounding_leaves_of_equal_samples_does_not_tell_them_apart():
    near = SAME * (1 + 2.0**-22 * np.sign(OTHER)).astype(np.float32)
    assert not silent(TV501, window(batch(i, near, Y) for i in range(3)))


def test_inputs_of_nothing_but_zeros_are_equal_too():
    assert not silent(TV501, window(batch(i, np.zeros((8, 4)), Y) for i in range(3)))


@pytest.mark.parametrize(
    "look",
    [
        lambda i: batch(i, OTHER, Y),
        lambda i: batch(i, SAME, np.ones(63)),  # all the same, targets too: one sample, learned by heart
        lambda i: batch(i, SAMPLE, Y),  # a batch of one
        lambda i: batch(i, SAME, Y, mask=OTHER),  # a time step beside what differs
        lambda i: batch(i, SAME, Y, first=OTHER),  # a mask of ones beside tokens, which are no features
        lambda i: batch(i, SAME if i % 3 else OTHER, Y),  # now and then a batch of equal samples
        # dates of one year, in seconds
        lambda i: batch(i, (1.6e9 + 3e7 * np.linspace(0, 1, 63)[:, None]).astype(np.float32), Y),
    ],
)
def test_samples_that_differ_somewhere_are_healthy(look):
    assert silent(TV501, window(look(i) for i in range(12)))


def test_in_a_batch_that_holds_its_targets_every_site_has_to_agree():
    def told(step: int, last: np.ndarray) -> Snapshot:
        look = batch(step, SAME, Y)
        features = spreads("features", {"batch": SAME, "batch[1]": Y[:, None]})
        made = spreads("activation", {"fc1": SAME, "fc2": last})
        return Snapshot(step, {}, {}, {**look.tables, "features": features, "activation": made})

    assert not silent(TV501, window(told(i, SAME) for i in range(3)))
    assert silent(TV501, window(told(i, OTHER) for i in range(3)))


def test_it_keeps_the_rules_of_the_house():
    windows = [window([fed(0, bad=True, loss=math.nan)]), window(batch(i, SAME, Y) for i in range(3))]
    check_diagnostic(BadInput, windows=windows)
