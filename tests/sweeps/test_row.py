"""A result is whole or absent, and comes back as it was written."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest

from sweeps.results import combine
from sweeps.row import FILE, load, rows_in, save
from tests.sweeps.made import row, vanishing


def test_a_row_comes_back_equal(tmp_path: Path):
    written = row(vanishing())

    save(written, tmp_path)

    assert load(tmp_path) == written


def test_a_loss_of_nan_and_of_infinity_survives_standard_json(tmp_path: Path):
    save(row(metrics={"test/loss": math.nan, "train/loss": -math.inf}), tmp_path)

    json.loads((tmp_path / FILE).read_text(), parse_constant=pytest.fail)
    read = load(tmp_path)

    assert read is not None
    assert math.isnan(read.metrics["test/loss"])
    assert read.metrics["train/loss"] == -math.inf


def test_the_file_says_verdict_and_root_cause_on_top(tmp_path: Path):
    save(row(vanishing()), tmp_path)

    data = json.loads((tmp_path / FILE).read_text())

    assert (data["verdict"], data["root_cause"], data["root_name"]) == ("ill", "TV201", "vanishing-gradient")
    assert (data["module"], data["onset"]) == ("network.hidden.0.act", 4)


def test_a_file_that_was_cut_off_is_no_row(tmp_path: Path):
    save(row(), tmp_path)
    whole = (tmp_path / FILE).read_text()
    (tmp_path / FILE).write_text(whole[: len(whole) // 2])

    assert load(tmp_path) is None


def test_saving_leaves_no_other_file(tmp_path: Path):
    save(row(), tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_pandas_opens_the_combined_file(tmp_path: Path):
    rows = [
        row(vanishing(), metrics={"test/accuracy": 0.1, "test/loss": math.nan}, diverged=True),
        row(overrides=("activation=tanh", "seed=0", "model.depth=3")),
        row(overrides=("activation=elu", "seed=0"), status="failed", error='a, "b"', vitals=None, metrics={}),
    ]

    ill, healthy, failed = pd.read_csv(combine(rows, tmp_path)).to_dict("records")

    assert (ill["activation"], ill["verdict"], ill["root_cause"], ill["onset"]) == ("relu", "ill", "TV201", 4)
    assert math.isnan(ill["test/loss"])
    assert (ill["diverged"], ill["monitor_share"]) == (True, 0.25)
    assert (healthy["verdict"], healthy["model.depth"], healthy["diverged"]) == ("healthy", 3, False)
    assert (failed["verdict"], failed["error"]) == ("failed", 'a, "b"')


def test_the_lines_of_the_combined_file_are_whole_rows(tmp_path: Path):
    rows = [row(vanishing()), row(overrides=("activation=tanh", "seed=0"))]

    combine(rows, tmp_path)

    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    assert [json.loads(line)["vitals"] is not None for line in lines] == [True, True]


def test_rows_are_found_whatever_else_lies_in_the_folder(tmp_path: Path):
    save(row(), tmp_path / "one")
    (tmp_path / "two").mkdir()
    (tmp_path / "plan.json").write_text("{}")

    assert [r.id for r in rows_in(tmp_path)] == ["activation=relu-seed=0"]
