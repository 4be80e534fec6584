"""The table says what fell ill, of what, where and since when, in colour and without."""

import io
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from sweeps import table as table_module
from sweeps.cells import cells, factors
from sweeps.grid import table
from sweeps.plan import Plan
from sweeps.row import Row, save
from sweeps.table import conclude
from tests.sweeps.made import row, vanishing


def printed(rows: Sequence[Row], width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(table(rows, width=width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def grid_of(*, seeds: int) -> list[Row]:
    return [
        row(
            *([vanishing()] if activation == "sigmoid" else []),
            overrides=(f"activation={activation}", f"model.depth={depth}", f"seed={seed}"),
            accuracy=0.9 + seed / 100,
            number=number,
        )
        for number, (activation, depth, seed) in enumerate(
            (a, d, s) for a in ("sigmoid", "relu") for d in (2, 10) for s in range(seeds)
        )
    ]


def test_columns_are_what_varies_and_the_seed_is_not():
    assert factors(grid_of(seeds=2)) == ("activation", "model.depth")


def test_the_columns_of_a_sweep_over_seeds_alone_say_what_the_network_is():
    rows = [row(overrides=("activation=relu", f"seed={seed}")) for seed in range(3)]

    assert factors(rows) == ("activation", "init", "optimizer")


def test_cells_come_in_the_order_of_the_sweep():
    found = cells(reversed(grid_of(seeds=2)), ("activation", "model.depth"))

    assert [cell.values for cell in found] == [
        ("sigmoid", "2"),
        ("sigmoid", "10"),
        ("relu", "2"),
        ("relu", "10"),
    ]


def test_the_verdict_of_a_cell_is_that_of_most_of_its_seeds():
    seeds = [row(), row(vanishing(onset=8)), row(vanishing(onset=2))]

    [cell] = cells(seeds, ("activation",))

    assert (cell.verdict, len(cell.agreeing), cell.onset) == ("ill", 2, 2)


def test_of_equally_many_verdicts_the_worse_is_told():
    [cell] = cells([row(), row(vanishing())], ("activation",))

    assert cell.verdict == "ill"


def test_an_ill_line_holds_cause_place_step_and_score():
    [line] = [line for line in printed(grid_of(seeds=2)).splitlines() if "sigmoid" in line and " 10 " in line]

    assert line.split() == [
        *("sigmoid", "10", "✗", "ill", "2/2", "TV201", "vanishing-gradient", "hidden.0.act", "4"),
        *("0.905", "±0.007"),
    ]


def test_ill_lines_are_marked_without_colour():
    lines = printed(grid_of(seeds=1)).splitlines()

    assert [("✗" in line) for line in lines if "sigmoid" in line or "relu" in line] == [
        True,
        True,
        False,
        False,
    ]


def test_a_sweep_in_health_has_no_empty_columns():
    assert "root cause" not in printed(
        [row(overrides=(f"activation={a}", "seed=0")) for a in ("relu", "elu")]
    )


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_terminal_and_no_name_is_cut(width: int):
    rows = [
        row(vanishing(), overrides=(f"activation={a}", f"init={i}", f"optimizer={o}", "seed=0"))
        for a in ("leaky_relu", "sigmoid")
        for i in ("xavier_normal", "zeros")
        for o in ("sgd", "adam")
    ]

    text = printed(rows, width=width)

    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for word in ("leaky_relu", "xavier_normal", "optimizer", "TV201 vanishing-gradient", "hidden.0.act"):
        assert word in text


def test_failed_runs_show_their_error_and_no_score():
    failed = row(
        overrides=("activation=elu", "seed=0"),
        status="failed",
        error="no such thing",
        vitals=None,
        metrics={},
    )

    text = printed([row(), failed])

    assert "✗ failed" in text
    assert "no such thing" in text


def conclusion(rows: Sequence[Row], folder: Path) -> str:
    for each in rows:
        save(each, folder / each.id)
    console = Console(file=io.StringIO(), width=120)
    conclude(folder, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_end_counts_verdicts_and_says_what_to_do(tmp_path: Path):
    text = conclusion(grid_of(seeds=1), tmp_path)

    assert "4 runs: 2 healthy, 2 ill." in text
    assert "A step took 2 ms; watching cost 25.0% of the run." in text
    assert "TV201 vanishing-gradient: Use ReLU.\n      activation=relu" in text
    assert f"All results: {tmp_path}/results.csv" in text


def test_the_end_says_what_is_missing(tmp_path: Path):
    Plan(total=6, varied={}).save(tmp_path)

    assert "2 of 6 runs are missing" in conclusion(grid_of(seeds=1), tmp_path)


def test_the_table_is_printed_again_from_files(tmp_path, monkeypatch, capsys):
    save(row(vanishing()), tmp_path / "one")
    monkeypatch.setattr(sys, "argv", ["sweeps.table", str(tmp_path)])

    table_module.main()

    assert "TV201" in capsys.readouterr().out
    assert (tmp_path / "results.csv").exists()


def test_a_folder_without_results_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["sweeps.table", str(tmp_path)])

    with pytest.raises(SystemExit, match=r"no result in .* Give the folder of a sweep, such as runs/demo\."):
        table_module.main()
