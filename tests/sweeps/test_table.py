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
from sweeps.plan import Plan, ordered
from sweeps.row import Row, save
from sweeps.table import conclude
from tests.sweeps.made import row, vanishing
from torchvitals.core.finding import Remedy


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
    rows, _ = ordered(reversed(grid_of(seeds=2)), by=None)

    found = cells(rows, ("activation", "model.depth"))

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
    assert "TV201 vanishing-gradient (2 runs): Use ReLU.\n      activation=relu" in text
    assert f"All results: {tmp_path}/results.csv" in text


def test_runs_with_one_illness_and_different_causes_are_told_different_remedies(tmp_path: Path):
    scale = vanishing(cause="weight scale", remedies=(Remedy("Scale.", ("init=he_normal",)),))
    slope = [row(vanishing(), overrides=("activation=sigmoid", f"seed={seed}")) for seed in range(2)]

    text = conclusion([row(scale), *slope], tmp_path)

    assert "TV201 vanishing-gradient (2 runs): Use ReLU.\n      activation=relu" in text
    assert "TV201 vanishing-gradient (1 run): Scale.\n      init=he_normal" in text


def test_runs_that_were_stopped_or_diverged_are_marked(tmp_path: Path):
    rows = [
        row(vanishing(), stopped="TV201 vanishing-gradient"),
        row(vanishing(), overrides=("activation=tanh", "seed=0"), diverged=True),
    ]

    text = conclusion(rows, tmp_path)

    assert "✗ ill, stopped" in text
    assert "✗ ill, diverged" in text
    assert "2 runs: 2 ill. 1 stopped. 1 diverged." in text


def test_rows_of_another_grid_are_no_substitute_for_missing_ones(tmp_path: Path):
    rows = [row(overrides=(f"activation={a}", "seed=0")) for a in ("relu", "tanh", "elu")]
    Plan(total=3, varied={}, ids=("activation=elu-seed=0", "gone", "activation=relu-seed=0")).save(tmp_path)

    text = conclusion(rows, tmp_path)

    assert "1 of 3 runs is missing" in text
    assert "1 run of other command lines with this name, at the end of the table." in text
    assert [line.split()[0] for line in text.splitlines()[3:6]] == ["elu", "relu", "tanh"]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_many_factors_leave_room_for_verdict_and_score(width: int):
    names = ("model.depth", "optimizer.lr", *(f"init.some_factor_{letter}" for letter in "abcdefgh"))
    values = [tuple(f"{name}={value}" for name in names) for value in ("10", "1000000.0")]
    rows = [
        row(vanishing(), overrides=("activation=leaky_relu", *values[0]), stopped="TV201", diverged=True),
        row(overrides=("activation=tanh", *values[1])),
    ]

    text = printed(rows, width=width)

    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in text
    assert [line for line in lines if line != line.rstrip()] == []
    for word in ("verdict", "✗ ill", "healthy", "TV201 vanishing-gradient", "hidden.0.act", "0.900"):
        assert word in text
    assert "accuracy" in text
    assert "depth=10" in text


def test_a_folder_of_unwatched_runs_has_no_trailing_blanks():
    text = printed([row(metrics={}, vitals=None), row(overrides=("activation=elu", "seed=0"))])

    assert [line for line in text.splitlines() if line != line.rstrip()] == []


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
