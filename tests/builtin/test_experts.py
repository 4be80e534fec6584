"""A router that asks always the same expert is told; experts that take turns are not."""

import pytest

from tests.builtin.runs import only, silent, window
from torchvitals.builtin.no_gradient import NoGradient
from torchvitals.core.finding import Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.testing import table

TV204 = NoGradient()


def mixture(rows, *, steps=30, name="experts", experts=4):
    """A run in which expert i of a step gets `rows(step)[i]` rows."""
    paths = [f"layer.{name}.{i}" for i in range(experts)]
    weights = [f"{path}.up.weight" for path in paths]

    def look(step):
        asked = [(f"{path}.up", n) for path, n in zip(paths, rows(step), strict=True) if n]
        kinds = {
            "activation": table("activation", [n for n, _ in asked], count=[8.0 * n for _, n in asked]),
            "parameter": table("parameter", weights),
            "gradient": table("gradient", weights),
            "wiring": table("wiring", weights),
        }
        return Snapshot(step, {"loss": 1.0}, {}, kinds)

    return window(look(step) for step in range(steps))


def test_experts_that_are_never_asked_while_one_has_all_rows_are_named():
    finding = only(TV204, mixture(lambda _: [63, 1, 0, 0]))
    assert finding.severity == Severity.WARNING
    assert finding.where == ("layer.experts.1", "layer.experts.2", "layer.experts.3")
    assert finding.cause == "the router sends all rows to the same experts"


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        pytest.param(lambda _: [40, 16, 8, 0], {}, id="an idle one beside busy ones"),
        pytest.param(lambda step: [64 * (i == step % 4) for i in range(4)], {}, id="single rows, in turn"),
        pytest.param(lambda _: [64, 0, 0, 0], {"name": "heads"}, id="heads of tasks"),
        pytest.param(lambda _: [64, 0, 0, 0], {"steps": 20}, id="too few looks"),
        pytest.param(lambda _: [64, 1], {"experts": 2}, id="two experts"),
        pytest.param(lambda _: [0, 0, 0, 0], {}, id="nobody is asked"),
        pytest.param(lambda step: [64, 0, 0, 0] if step < 10 else [20, 20, 20, 4], {}, id="balanced later"),
    ],
)
def test_other_mixtures_are_left_alone(rows, options):
    assert silent(TV204, mixture(rows, **options))
