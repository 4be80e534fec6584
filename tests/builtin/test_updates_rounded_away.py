"""TV304 is compared with what rounding really does; without this the rule could be right on paper only."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builtin.runs import only, silent
from tests.builtin.step_runs import MATRICES, moved, of
from torchvitals.builtin.updates_rounded_away import UpdatesRoundedAway
from torchvitals.core.finding import Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.tables import Table
from torchvitals.testing import check_diagnostic

TV304 = UpdatesRoundedAway()
BF16, FP16 = 2.0**-7, 2.0**-10


def run(share=0.97, looks=16, *, ratio=1e-5, resolution=BF16, **options) -> list[Snapshot]:
    return [
        moved(i, ratio, unchanged=64 * share, resolution=resolution, loss=0.9**i, **options)
        for i in range(looks)
    ]


def gap(w: np.ndarray, resolution: float) -> np.ndarray:
    """Distance of each number to the next larger one of the same format."""
    return resolution * 2.0 ** np.floor(np.log2(np.abs(w)))


def rounded(ratio: float, *, resolution: float = BF16, at_random: bool) -> list[Snapshot]:
    """Looks at Gaussian weights on the grid of a short format that ought to move by `ratio` of their RMS."""
    draw = np.random.default_rng(0)
    w = draw.normal(size=4096)
    w = np.round(w / gap(w, resolution)) * gap(w, resolution)
    grid = gap(w, resolution)
    looks = []
    for step in range(16):
        wanted = ratio * draw.choice([-1.0, 1.0], size=w.size)
        steps = wanted / grid
        whole = np.floor(steps + (draw.random(w.size) if at_random else 0.5))
        change = whole * grid
        look = moved(step, 1.0, names=("w",), resolution=resolution, loss=0.9**step)
        tables = dict(look.tables)
        for kind, columns in {
            "parameter": {"count": 4096.0, "sum_sq": float((w**2).sum())},
            "update": {
                "count": 4096.0,
                "sum_sq": float((change**2).sum()),
                "unchanged": float((change == 0).sum()),
            },
        }.items():
            old = tables[kind]
            tables[kind] = Table(
                kind, old.names, {**old.columns, **{k: np.array([v]) for k, v in columns.items()}}, old.units
            )
        looks.append(Snapshot(step, look.scalars, look.labels, tables))
    return looks


def test_it_keeps_the_rules_of_the_house():
    check_diagnostic(UpdatesRoundedAway, windows=[of(run())])


def test_updates_that_are_lost_altogether_are_critical_after_sixteen_looks():
    assert silent(TV304, of(run(looks=15)))
    finding = only(TV304, of(run()))
    assert (finding.severity, finding.since) == (Severity.CRITICAL, 0)
    assert finding.where == MATRICES
    assert finding.evidence["share_unchanged"] == pytest.approx(0.97, abs=0.01)


@pytest.mark.parametrize(
    ("share", "severity"), [(0.4, None), (0.6, Severity.WARNING), (0.99, Severity.CRITICAL)], ids=str
)
def test_the_share_sets_the_severity(share, severity):
    found = list(TV304.diagnose(of(run(share))))
    assert [f.severity for f in found] == ([] if severity is None else [severity])


@pytest.mark.parametrize(("resolution", "below"), [(BF16, 2.0**-9), (FP16, 2.0**-12)], ids=["bf16", "fp16"])
def test_what_rounding_to_nearest_loses_is_found(resolution, below):
    """Weights near their RMS lose every update below a quarter of the resolution."""
    finding = only(TV304, of(rounded(below / 4, resolution=resolution, at_random=False)))
    assert finding.severity >= Severity.WARNING


@pytest.mark.parametrize("ratio", [2.0**-7, 2.0**-10, 2.0**-13], ids=["2^-7", "2^-10", "2^-13"])
def test_rounding_at_random_is_never_above_a_note(ratio):
    found = list(TV304.diagnose(of(rounded(ratio, at_random=True))))
    assert all(f.severity is Severity.INFO for f in found)


def test_updates_that_fit_the_format_are_silent():
    assert silent(TV304, of(rounded(2.0**-5, at_random=False)))


def test_in_float32_it_is_a_note():
    finding = only(TV304, of(run(0.99, resolution=2.0**-23)))
    assert (finding.severity, finding.cause) == (Severity.INFO, "learning rate too small")
    assert silent(TV304, of(run(0.9, resolution=2.0**-23)))


def test_warm_ups_and_the_end_of_a_decay_are_silent():
    warm = [moved(i, 1e-6, unchanged=63.0, resolution=BF16, lr=1e-6 * i) for i in range(30)]
    done = [moved(i, 1e-6, unchanged=63.0, resolution=BF16, lr=0.1 if i < 10 else 1e-3) for i in range(60)]
    assert silent(TV304, of(warm))
    assert silent(TV304, of([moved(0, 1e-2, resolution=BF16, lr=0.1), *done[10:]]))


def test_copies_of_weights_that_the_optimizer_holds_in_float32_are_silent():
    assert silent(TV304, of(run(held=0.0)))


def test_entries_without_a_gradient_are_idle_and_not_lost():
    """Rows of an embedding whose tokens did not occur."""
    assert silent(TV304, of(run(0.0, idle=60.0)))
    assert silent(TV304, of(run(0.0, idle=64.0)))


@given(st.floats(0.51, 0.99), st.integers(1, 5))
def test_the_verdict_is_that_of_the_pooled_entries(share, parts):
    """One matrix or the same entries as several: the same share and the same severity."""
    whole = run(share, names=("w",))
    split = run(share, names=tuple(f"w{i}" for i in range(parts)))
    assert [f.severity for f in TV304.diagnose(of(whole))] == [f.severity for f in TV304.diagnose(of(split))]
