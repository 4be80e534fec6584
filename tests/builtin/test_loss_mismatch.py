"""TV405 is certain where the call itself says it, and waits for harm where it does not."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from tests.builtin.runs import only, silent
from tests.builtin.step_runs import called, of
from torchvitals.builtin.loss_mismatch import LossMismatch
from torchvitals.core.finding import Severity
from torchvitals.testing import check_diagnostic, table

TV405 = LossMismatch()
P = {"low": 0.0, "high": 1.0}
PROBABILITIES = {**P, "row_error": 1e-7, "axis": 1.0}
YES_NO = {"target_low": 0.0, "target_high": 1.0, "target_sum": 4.0, "target_sq": 4.0, "classes": 0.0}
ONE_HOT = {**YES_NO, "classes": 0.0}
REAL = {"classes": 0.0, "target_low": -2.3, "target_high": 2.6, "target_sum": 0.4, "target_sq": 31.7}

CERTAIN = [
    ({"after": "softmax", **PROBABILITIES}, "softmax before cross_entropy"),
    ({"after": "", **PROBABILITIES}, "softmax before cross_entropy"),
    ({"after": "sigmoid", **P}, "sigmoid before cross_entropy"),
    ({"op": "nll_loss", "high": 4.0}, "nll_loss on raw logits"),
    ({"op": "nll_loss", "after": "softmax", **PROBABILITIES}, "nll_loss on probabilities"),
    ({"op": "kl_div", "after": "softmax", **P, "classes": 0.0}, "kl_div on probabilities"),
    ({"op": "cross_entropy", "classes": 1.0}, "softmax over one unit"),
    (
        {"op": "binary_cross_entropy", "after": "softmax", "low": 1.0, "high": 1.0, **YES_NO},
        "softmax over one unit",
    ),
    (
        {"op": "nll_loss", "after": "log_softmax", "axis": 0.0, "high": 0.0},
        "log_softmax over the batch axis",
    ),
    (
        {"op": "binary_cross_entropy_with_logits", "after": "sigmoid", **P, **YES_NO},
        "sigmoid before the sigmoid",
    ),
    (
        {"op": "binary_cross_entropy_with_logits", "after": "softmax", **P, **YES_NO},
        "softmax before the sigmoid",
    ),
    (
        {"op": "binary_cross_entropy", "after": "sigmoid+sigmoid", "low": 0.5, "high": 0.7, **YES_NO},
        "sigmoid before the sigmoid",
    ),
    ({"op": "binary_cross_entropy_with_logits", "after": "relu", **YES_NO}, "relu on logits"),
    ({"op": "binary_cross_entropy", "after": "relu", **YES_NO}, "relu before binary_cross_entropy"),
    (
        {"op": "binary_cross_entropy_with_logits", **YES_NO, "target_low": -1.0},
        "targets outside 0 to 1",
    ),
    ({"op": "mse_loss", "after": "sigmoid", **P, **REAL}, "targets outside the range of sigmoid"),
    ({"op": "l1_loss", "after": "relu", **REAL}, "targets outside the range of relu"),
    ({"op": "huber_loss", "after": "tanh", **REAL}, "targets outside the range of tanh"),
    ({"op": "mse_loss", "broadcast": 1.0, **REAL}, "shapes of prediction and target differ"),
    (
        {"op": "difference", "broadcast": 1.0, "classes": 0.0, "target_low": 0.0, "target_high": 0.0},
        "shapes of prediction and target differ",
    ),
    ({"swapped": 1.0}, "a view where logits had to be transposed"),
]

HARMFUL_OR_NOT = [
    ({"after": "relu", "low": 0.0}, "relu on logits"),
    ({"after": "tanh", "low": -1.0, "high": 1.0}, "tanh on logits"),
    (
        {"op": "binary_cross_entropy", "after": "softmax", **PROBABILITIES, **YES_NO, "classes": 10.0},
        "softmax before binary_cross_entropy",
    ),
    ({"op": "mse_loss", "after": "softmax", **P, **ONE_HOT}, "mse_loss on classes"),
    ({"op": "l1_loss", "after": "sigmoid", **P, **ONE_HOT}, "l1_loss on classes"),
]

NOTES = [
    ({"after": "log_softmax", "low": -9.0, "high": -0.1}, "log_softmax before cross_entropy"),
    ({"reduction": "sum"}, "sum instead of mean"),
    (
        {
            "op": "mse_loss",
            **REAL,
            "target_low": 0.0,
            "target_high": 9.0,
            "target_sum": 144.0,
            "target_sq": 912.0,
        },
        "targets look like class numbers",
    ),
]

HEALTHY = [
    pytest.param({}, id="cross_entropy of logits"),
    pytest.param({"low": -1.0, "high": 1.0}, id="cross_entropy of cosines"),
    pytest.param({"low": 0.0, "high": 9.0, "row_error": 8.0}, id="logits that happen to be positive"),
    pytest.param(
        {"op": "nll_loss", "after": "log_softmax", "axis": 1.0, "high": -0.1}, id="nll of log_softmax"
    ),
    pytest.param({"op": "nll_loss", "high": -1e-3}, id="nll of a mixture's log"),
    pytest.param({"op": "binary_cross_entropy", "after": "sigmoid", **P, **YES_NO}, id="BCE of a sigmoid"),
    pytest.param(
        {
            "op": "binary_cross_entropy",
            "after": "sigmoid",
            **P,
            **YES_NO,
            "target_sum": 9.0,
            "target_sq": 5.5,
            "classes": 64.0,
        },
        id="an autoencoder on pixels in [0, 1]",
    ),
    pytest.param({"op": "binary_cross_entropy_with_logits", **YES_NO, "classes": 20.0}, id="many labels"),
    pytest.param(
        {"op": "binary_cross_entropy", "after": "softmax", **PROBABILITIES, **YES_NO, "classes": 2.0},
        id="BCE of a softmax over two",
    ),
    pytest.param({"op": "mse_loss", **REAL}, id="regression"),
    pytest.param(
        {
            "op": "mse_loss",
            "after": "tanh",
            **REAL,
            "target_low": -1.0,
            "target_high": 1.0,
        },
        id="a generator's tanh on images in [-1, 1]",
    ),
    pytest.param(
        {
            "op": "mse_loss",
            "after": "softmax",
            **P,
            **REAL,
            "target_low": 0.01,
            "target_high": 0.9,
        },
        id="distillation by squared error of probabilities",
    ),
    pytest.param(
        {
            "op": "mse_loss",
            "after": "sigmoid",
            **P,
            **REAL,
            "target_low": -0.02,
            "target_high": 1.03,
        },
        id="targets a little beyond the sigmoid",
    ),
    pytest.param(
        {
            "op": "mse_loss",
            "broadcast": 1.0,
            **REAL,
            "target_low": 1.0,
            "target_high": 1.0,
        },
        id="least-squares GAN against one number",
    ),
    pytest.param(
        {"op": "kl_div", "after": "log_softmax", "axis": 1.0, "classes": 0.0}, id="KL of log_softmax"
    ),
    pytest.param(
        {"op": "nll_loss", "after": "log_softmax", "axis": 0.0, "high": 0.0, "targets": 1.0},
        id="log_softmax over the only axis of one sample",
    ),
]


def run(row, looks=40, *, falls=True):
    return [called(i, **row, mean=0.9**i + 0.1 if falls else 1.0) for i in range(looks)]


def test_it_keeps_the_rules_of_the_house():
    check_diagnostic(LossMismatch, windows=[of(run(row)) for row, _ in (*CERTAIN, *HARMFUL_OR_NOT, *NOTES)])


@pytest.mark.parametrize(("row", "cause"), CERTAIN, ids=[c for _, c in CERTAIN])
def test_what_the_call_itself_says_is_a_warning_at_the_first_look(row, cause):
    finding = only(TV405, of([called(0, **row)]))
    assert (finding.cause, finding.severity, finding.since) == (cause, Severity.WARNING, 0)
    assert finding.where == (row.get("op", "cross_entropy"),)
    assert finding.remedies


@pytest.mark.parametrize(("row", "cause"), HARMFUL_OR_NOT, ids=[c for _, c in HARMFUL_OR_NOT])
def test_what_may_do_no_harm_is_a_note_until_the_loss_stands_still(row, cause):
    note, ill = only(TV405, of(run(row))), only(TV405, of(run(row, falls=False)))
    assert (note.cause, note.severity) == (cause, Severity.INFO)
    assert (ill.cause, ill.severity) == (cause, Severity.WARNING)


@pytest.mark.parametrize(("row", "cause"), NOTES, ids=[c for _, c in NOTES])
def test_what_is_merely_odd_is_a_note_whatever_the_loss_does(row, cause):
    finding = only(TV405, of(run(row, falls=False)))
    assert (finding.cause, finding.severity) == (cause, Severity.INFO)


@pytest.mark.parametrize("row", HEALTHY)
@pytest.mark.parametrize("falls", [True, False], ids=["falls", "stands still"])
def test_healthy_pairs_are_silent(row, falls):
    assert silent(TV405, of(run(row, falls=falls)))


def test_the_worst_of_several_calls_is_told():
    finding = only(TV405, of([called(0, {"reduction": "sum"}, {"op": "nll_loss", "high": 3.0})]))
    assert (finding.where, finding.cause) == (("nll_loss",), "nll_loss on raw logits")


def test_it_is_silent_once_the_call_is_mended():
    ill = [called(i, after="softmax", **PROBABILITIES) for i in range(4)]
    assert silent(TV405, of([*ill, called(4)]))


def test_a_class_that_never_occurs_is_noted_after_sixteen_looks():
    some = [True] * 9 + [False]
    assert silent(TV405, of(called(i, present=some) for i in range(15)))
    finding = only(TV405, of(called(i, present=some) for i in range(16)))
    assert (finding.severity, finding.cause) == (Severity.INFO, "classes that never occur")
    assert finding.message == "1 of 10 classes were never among the targets: 9."


def test_rare_classes_are_given_time():
    present = [True] * 10 + [False] * 990
    assert silent(TV405, of(called(i, classes=1000.0, present=present) for i in range(40)))


# -- oracle: what torch itself computes


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_the_floor_of_a_softmax_taken_twice_is_what_torch_computes(classes):
    sure = F.one_hot(torch.arange(classes), classes).double()
    floor = F.cross_entropy(sure, torch.arange(classes)).item()
    finding = only(TV405, of([called(0, after="softmax", classes=float(classes), **PROBABILITIES)]))
    assert finding.evidence["loss_floor"] == pytest.approx(floor)


# -- laws


@given(
    st.sampled_from([row for row, _ in (*CERTAIN, *HARMFUL_OR_NOT, *NOTES)]),
    st.integers(-20, 20),
    st.booleans(),
)
def test_the_verdict_does_not_change_when_the_run_s_loss_is_scaled(row, power, falls):
    steps = run(row, falls=falls)
    scaled = [
        type(s)(s.step, {**s.scalars, "loss": s.scalars["loss"] * 2.0**power}, s.labels, s.tables)
        for s in steps
    ]
    one, other = only(TV405, of(steps)), only(TV405, of(scaled))
    assert (one.severity, one.cause, one.since) == (other.severity, other.cause, other.since)


@given(st.sampled_from([row for row, _ in CERTAIN]), st.integers(2, 8))
def test_micro_batches_merge_to_the_same_verdict(row, parts):
    merged = called(0, **row)
    table = merged["loss"]
    for _ in range(parts - 1):
        table = table.merge(called(0, **row)["loss"])
    many = type(merged)(0, merged.scalars, merged.labels, {"loss": table})
    assert only(TV405, of([many])).cause == only(TV405, of([merged])).cause


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_logits_of_any_height_are_silent(low, high):
    assert silent(TV405, of([called(0, low=min(low, high), high=max(low, high), row_error=math.inf)]))


# -- the sign


def signed(factors):
    return [called(i, mean=2.0 + i, loss=f * (2.0 + i)) for i, f in enumerate(factors)]


@pytest.mark.parametrize("factor", [-1.0, -100.0, -1e-3])
def test_a_loss_that_is_the_negative_of_its_only_call_is_a_warning(factor):
    finding = only(TV405, of(signed([factor] * 3)))
    assert (finding.cause, finding.severity, finding.since) == ("sign of the loss", Severity.WARNING, 0)


@pytest.mark.parametrize(
    "factors", [[1.0] * 3, [-1.0] * 2, [-1.0, -1.5, -0.5]], ids=["positive", "two looks", "with other terms"]
)
def test_other_signs_are_silent(factors):
    assert silent(TV405, of(signed(factors)))


def test_of_several_calls_one_may_be_subtracted():
    assert silent(TV405, of(called(i, {}, {}, loss=-1.0) for i in range(3)))


# -- what only several looks show


def crawling(optimizer, **row):
    """Thirty looks at a loss that falls by a tenth."""
    looks = [called(i, **row, mean=2.0 - 0.2 * i / 30) for i in range(30)]
    return of(type(s)(s.step, s.scalars, {"optimizer": optimizer}, s.tables) for s in looks)


SQUARED = {"op": "mse_loss", "after": "softmax", **P, **ONE_HOT}
BINARY = {"op": "binary_cross_entropy", "after": "softmax", **PROBABILITIES, **YES_NO, "classes": 10.0}


@pytest.mark.parametrize(
    ("optimizer", "row", "severity"),
    [
        pytest.param("SGD", BINARY, Severity.WARNING, id="SGD"),
        pytest.param("Adam", BINARY, Severity.INFO, id="Adam, which makes up for it"),
        pytest.param("SGD", {**BINARY, "reduction": "sum"}, Severity.INFO, id="a sum over the classes"),
        pytest.param("SGD", SQUARED, Severity.WARNING, id="a squared error"),
        pytest.param("Adam", SQUARED, Severity.INFO, id="a squared error under Adam"),
        pytest.param("SGD", {"after": "tanh"}, Severity.INFO, id="what makes no gradient small"),
    ],
)
def test_a_loss_that_weakens_the_gradient_of_a_softmax_is_a_warning_where_it_makes_sgd_crawl(
    optimizer, row, severity
):
    assert only(TV405, crawling(optimizer, **row)).severity is severity


def clipped(fired, *, looks=20, present=(True,) * 10, after="relu", op="relu"):
    """Looks at 100 samples each whose logits a relu of ten units clips."""
    for i in range(looks):
        look = called(i, after=after, low=0.0, mean=0.9**i + 0.1, present=present)
        silence = table("silence", ("hidden", "out"), op=op, positions=100.0)
        bits = tuple(np.array(fired(i)) for _ in range(2))
        silence = type(silence)("silence", silence.names, silence.columns, {"fired": bits})
        yield type(look)(look.step, look.scalars, look.labels, {**look.tables, "silence": silence})


ALL, NINE = [True] * 10, [True] * 9 + [False]


def test_a_class_whose_logit_a_relu_keeps_at_0_is_lost():
    finding = only(TV405, of(clipped(lambda _: NINE)))
    assert (finding.severity, finding.cause) == (Severity.WARNING, "relu on logits")
    assert "1 of 10 classes" in finding.message


@pytest.mark.parametrize(
    "looks",
    [
        pytest.param(clipped(lambda i: ALL if i % 8 == 0 else NINE), id="it fires now and then"),
        pytest.param(clipped(lambda _: NINE, looks=13), id="too few samples to know"),
        pytest.param(clipped(lambda _: NINE, present=tuple(NINE)), id="a class that never occurs"),
    ],
)
def test_a_relu_on_logits_that_loses_no_class_is_a_note(looks):
    assert only(TV405, of(looks)).severity is Severity.INFO


def test_silent_units_that_are_no_logits_are_another_matter():
    assert silent(TV405, of(clipped(lambda _: NINE, after="")))


@pytest.mark.parametrize(
    ("follow", "looks", "found"), [(0.95, 16, True), (0.95, 15, False), (0.6, 40, False)]
)
def test_weights_that_rise_with_the_counts_are_a_warning_after_sixteen_looks(follow, looks, found):
    steps = of(called(i, weights_follow=follow, adjusted=1.0, mean=0.9**i + 0.1) for i in range(looks))
    if not found:
        assert silent(TV405, steps)
        return
    finding = only(TV405, steps)
    assert (finding.severity, finding.evidence["correlation"]) == (Severity.WARNING, follow)


def test_of_a_vocabulary_some_words_may_never_occur():
    def look(i):
        words = called(i, present=[True] * 9 + [False])
        site = table("activation", ("head",), count=24.0, freedom=16.0)  # 3 samples of 8 entries
        return type(words)(i, words.scalars, words.labels, {**words.tables, "activation": site})

    assert silent(TV405, of(map(look, range(20))))
