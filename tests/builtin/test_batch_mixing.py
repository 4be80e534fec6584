"""TV106 tells a batch from a sequence and a graph; without this LSTMs that take time first would be ill."""

import pytest

from tests.builtin.runs import incidents, only, silent, verdict, window
from torchvitals.builtin.batch_mixing import BatchMixing
from torchvitals.core.finding import Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.testing import check_diagnostic, table

TV106 = BatchMixing()
ROWS = 32


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
) -> Snapshot:
    """A look at a model of inputs of that many rows of 8 numbers, whose loss took so many targets."""
    given = {"count": rows * 8.0, "freedom": (rows - 1) * 8.0, "sum_sq": content, "spread": content}
    names = tuple("input" if i == 0 else f"input[{i}]" for i in range(inputs))
    tables = {
        "features": table("features", names, units=8, **given),
        "loss": table("loss", ("cross_entropy",), count=targets, classes=classes, axis=axis),
        "activation": table("activation", ("fc", "head"), resolution=resolution),
    }
    if mixing is not None:
        tables["mixing"] = table("mixing", ("model",), mixing=mixing)
    return Snapshot(step, {"loss": 1.0}, {}, tables)


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
