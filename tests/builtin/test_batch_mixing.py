"""TV106 tells a batch from a sequence and a graph; without this LSTMs that take time first would be ill."""

import pytest

from tests.builtin.runs import incidents, only, silent, verdict, window
from torchvitals.builtin.batch_mixing import BatchMixing
from torchvitals.core.finding import Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.testing import check_diagnostic, table

TV106 = BatchMixing()
ROWS = 32
TOKENS = {"inputs": 0, "targets": 8 * ROWS}


def look(
    step: int,
    mixing: float | None = None,
    *,
    rows: int = ROWS,
    inputs: int = 1,
    targets: int = ROWS,
    classes: int = 10,
    axis: int = -1,
    content: float = 64.0,
    resolution: float = 2.0**-23,
    across: float = -1.0,
    loss: float = 1.0,
    site: float = 0.0,
) -> Snapshot:
    """A look at a model of inputs of that many rows of 8 numbers, whose loss took so many targets."""
    given = {"count": rows * 8.0, "freedom": (rows - 1) * 8.0, "sum_sq": content, "spread": content}
    names = tuple("input" if i == 0 else f"input[{i}]" for i in range(inputs))
    tables = {
        "loss": table(
            "loss",
            ("cross_entropy",),
            op="cross_entropy",
            count=targets,
            classes=classes,
            axis=axis,
            target_sum=content,
            loss_sum=targets * loss,
            prior=targets * 1.0,
        ),
        "activation": table("activation", ("fc", "head"), resolution=resolution),
    }
    if inputs:
        tables["features"] = table("features", names, units=8, **given)
    if mixing is not None:
        told = table("mixing", ("fc", "head", "model"), mixing=[0.0, site, mixing], across=across, batch=rows)
        tables["mixing"] = told
    return Snapshot(step, {"loss": loss}, {}, tables)


def run(mixing: float, *, same: bool = False, steps: int = 5, **options):
    return [
        look(i, mixing if i == 0 else None, content=64.0 if same else 64.0 + i, **options)
        for i in range(steps)
    ]


@pytest.mark.parametrize(
    ("mixing", "options", "severity"),
    [
        pytest.param(0.3, {}, Severity.WARNING, id="samples leak"),
        pytest.param(2e-3, {}, Severity.WARNING, id="samples leak a little"),
        pytest.param(1e-5, {}, None, id="rounding"),
        pytest.param(0.5, {"resolution": 2.0**-7}, None, id="rounding in bfloat16"),
        pytest.param(0.3, {"targets": 1024}, Severity.INFO, id="a target for each place of a sequence"),
        pytest.param(0.3, {"rows": 12}, Severity.INFO, id="time comes first"),
        pytest.param(0.3, {"same": True}, Severity.INFO, id="one big graph, the same at every step"),
        pytest.param(0.3, {"inputs": 2}, Severity.INFO, id="a second input, such as an adjacency"),
        pytest.param(0.3, {"inputs": 0}, Severity.INFO, id="tokens"),
        pytest.param(0.3, {**TOKENS, "across": 0.2}, Severity.WARNING, id="tokens with positions in dim 1"),
        pytest.param(0.3, {**TOKENS, "across": 1e-6}, Severity.INFO, id="tokens, time first"),
        pytest.param(
            0.3, {**TOKENS, "across": 0.2, "same": True}, Severity.INFO, id="the same tokens at every step"
        ),
        pytest.param(
            0.3, {**TOKENS, "across": 0.2, "targets": 7 * ROWS + 1}, Severity.INFO, id="targets of no row"
        ),
        pytest.param(
            0.3, {**TOKENS, "across": 0.2, "classes": ROWS}, Severity.INFO, id="a contrast of sentences"
        ),
        pytest.param(0.3, {"classes": ROWS}, Severity.INFO, id="a contrast within the batch"),
        pytest.param(0.3, {"steps": 1}, None, id="a single step, which may be a graph"),
    ],
)
def test_one_target_a_row_makes_dimension_0_the_batch(mixing, options, severity):
    found = list(TV106.diagnose(window(run(mixing, **options))))
    assert [f.severity for f in found] == ([] if severity is None else [severity])


def test_the_finding_says_what_mixes():
    finding = only(TV106, window(run(0.3, axis=0)))
    assert (finding.where, finding.since) == (("model",), 0)
    assert finding.cause == "softmax over the batch axis"
    assert (
        finding.message
        == "A sample's output changes by 0.3 of its scale when the other samples of the batch change."
    )
    assert only(TV106, window(run(0.3, axis=1))).cause == "an operation over the batch axis"


def test_sentences_that_come_one_by_one_are_no_batches():
    looks = [look(i, 0.3, inputs=0, targets=t, rows=t, across=0.2) for i, t in enumerate((12, 9, 14))]
    assert only(TV106, window(looks)).severity is Severity.INFO


def test_the_module_that_mixes_first_is_named_before_the_model():
    assert only(TV106, window(run(0.3, site=0.2))).where == ("head", "model")


@pytest.mark.parametrize(
    ("speed", "steps", "severity"),
    [
        pytest.param(0.0, 193, Severity.WARNING, id="the loss stands still"),
        pytest.param(0.0, 192, Severity.INFO, id="a plateau at the start"),
        pytest.param(0.025, 193, Severity.INFO, id="it learns"),
        pytest.param(None, 193, Severity.INFO, id="a level that no constant prediction explains"),
    ],
)
def test_what_may_be_meant_becomes_a_warning_when_nothing_is_learned(speed, steps, severity):
    looks = [
        look(
            i,
            0.3 if i == 0 else None,
            content=64.0 + i,
            across=0.0,
            loss=0.9 if speed is None else 1 / (1 + speed * i),
            **TOKENS,
        )
        for i in range(steps)
    ]
    assert only(TV106, window(looks)).severity is severity


def test_a_second_floating_input_may_be_an_adjacency_whatever_the_loss_does():
    assert only(TV106, window(run(0.3, inputs=2, steps=200))).severity is Severity.INFO


def test_it_lasts_as_long_as_the_run():
    (incident,) = incidents(TV106, run(0.3, steps=20))
    assert (incident.onset, incident.last_seen, incident.resolved) == (0, 19, None)


def test_a_model_that_was_not_probed_is_not_judged():
    assert silent(TV106, window(look(i, None, content=i) for i in range(5)))


def test_the_scale_of_the_inputs_does_not_matter():
    plain = verdict(TV106.diagnose(window(run(0.3))))
    large = [look(i, 0.3 if i == 0 else None, content=1e6 * (64.0 + i)) for i in range(5)]
    assert verdict(TV106.diagnose(window(large))) == plain


def test_it_keeps_the_rules_of_the_house():
    check_diagnostic(BatchMixing, windows=[window(run(0.3)), window(run(0.3, same=True))])
