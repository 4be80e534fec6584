"""What a run leaves behind: a row of what it was, what came of it, and what it cost, whatever came of it."""

import math

import pandas as pd
import pytest

from sweeps.row import Row
from tests.sweeps.conftest import Application

SWEEP = ("--multirun", "activation=relu,tanh", "seed=0,1")


def numbers(rows: list[Row]) -> dict[str, dict[str, float]]:
    return {row.id: dict(row.metrics) for row in rows}


def test_a_single_run_says_its_verdict_score_and_place(application: Application):
    result = application("activation=sigmoid", "model.depth=10", "trainer.max_steps=20", few=False)

    assert "TV201 vanishing-gradient" in result.err
    assert "test/accuracy" in result.out.splitlines()[-1]
    assert "kept in runs/single/sigmoid-he_normal-adam-seed0-" in result.out.splitlines()[-1]
    assert result.status == 0


def test_a_row_holds_configuration_numbers_verdict_and_cost(application: Application):
    [row] = application("optimizer=sgd", "optimizer.lr=0.1", "model.depth=2").rows

    assert (row.config["optimizer"], row.config["model.depth"], row.config["optimizer.lr"]) == ("sgd", 2, 0.1)
    assert {"train/loss", "val/loss", "test/loss", "test/accuracy"} <= set(row.metrics)
    assert (row.status, row.score, row.diverged, row.steps) == ("done", "test/accuracy", False, 3)
    assert row.vitals is not None
    assert row.vitals.cost.run_seconds > 0
    assert 0 < (row.step_seconds or 0) < row.wall_seconds
    assert {"python", "torch", "pytorch-lightning", "torchvitals"} == set(row.versions)


def test_a_regression_is_scored_by_r2(application: Application):
    [row] = application("data=diabetes").rows

    assert row.score == "test/r2"
    assert "test/r2" in row.metrics


def test_equal_seeds_give_equal_bits(application: Application):
    first = application("seed=0").rows
    second = application("seed=0").rows

    assert numbers(first) == numbers(second)


def test_each_of_the_combinations_leaves_a_row(application: Application):
    result = application(*SWEEP)

    table = pd.read_csv(result.folder / "results.csv")
    assert sorted(zip(table["activation"], table["seed"], strict=True)) == [
        *(("relu", 0), ("relu", 1), ("tanh", 0), ("tanh", 1)),
    ]
    assert result.status == 0


def test_progress_counts_on_one_stream_and_the_table_is_on_the_other(application: Application):
    result = application(*SWEEP)

    lines = result.err.splitlines()
    assert lines[0] == f"4 runs, kept in runs/{result.folder.name}/"
    assert [line[:3] for line in lines[1:]] == ["1/4", "2/4", "3/4", "4/4"]
    assert "4 runs: " in result.out


def test_a_sweep_that_is_typed_again_runs_nothing(application: Application):
    first = application(*SWEEP)
    second = application(*SWEEP)

    assert [row.finished for row in second.rows] == [row.finished for row in first.rows]
    assert "4 of 4 runs were done before and are kept." in second.err
    assert "4 runs: " in second.out


def test_a_sweep_that_grew_runs_only_what_is_new(application: Application):
    first = application("--multirun", "seed=0,1", "sweep=mine")
    second = application("--multirun", "seed=0,1,2", "sweep=mine")

    assert "2 of 3 runs were done before" in second.err
    assert {row.finished for row in first.rows} < {row.finished for row in second.rows}
    assert len(second.rows) == 3


def test_one_name_for_two_grids_is_told_apart(application: Application):
    application("--multirun", "seed=0,1", "sweep=mine")

    second = application("--multirun", "seed=2,1", "activation=tanh,relu", "sweep=mine")

    assert "1 of 4 runs was done before and is kept." in second.err
    assert "1 run of other command lines with this name, at the end of the table." in second.out
    assert "missing" not in second.out
    table = pd.read_csv(second.folder / "results.csv")
    assert [*zip(table["seed"], table["activation"], strict=True)] == [
        *((2, "tanh"), (2, "relu"), (1, "tanh"), (1, "relu"), (0, "relu")),
    ]


def test_a_mistake_in_a_second_grid_is_told_as_in_the_first(application: Application):
    application("--multirun", "seed=0,1", "sweep=mine")

    second = application("--multirun", "activation=relu,foo", "sweep=mine")

    assert "activation: 'foo' is unknown." in second.complaint


def test_progress_at_80_columns_holds_the_whole_diagnosis(
    application: Application, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "80")
    factors = (
        "model.depth=10",
        "init=zeros",
        "activation=leaky_relu,relu",
        "optimizer=momentum_textbook,adam",
    )

    result = application("--multirun", *factors, "model.norm=none,batch", "model.dropout=0.0,0.000001")

    told = result.err.splitlines()[1:]
    assert max(map(len, told)) <= 80
    assert all("✗ ill      TV301 symmetric-units" in line for line in told)


def test_resume_false_runs_all_again(application: Application):
    first = application("--multirun", "activation=relu,tanh")
    second = application("--multirun", "activation=relu,tanh", "resume=false")

    assert min(row.finished for row in second.rows) > max(row.finished for row in first.rows)


def test_a_failed_job_costs_neither_the_others_nor_the_summary(application: Application):
    result = application("--multirun", "model.depth=-1,2", "activation=relu,tanh")

    assert [row.status for row in result.rows] == ["failed", "failed", "done", "done"]
    assert "2 healthy, 2 failed" in result.out
    assert "Failed (2 runs): model.depth: -1 is not allowed." in result.out
    assert len(pd.read_csv(result.folder / "results.csv")) == 4
    assert (result.status, result.complaint) == (1, "")


def test_a_failed_job_is_tried_again(application: Application):
    application("--multirun", "model.depth=-1,2", "sweep=mine")

    again = application("--multirun", "model.depth=-1,2", "sweep=mine")

    assert "1 of 2 runs was done before" in again.err
    assert again.status == 1


def test_a_run_that_diverges_is_a_result(application: Application):
    result = application("optimizer=sgd", "optimizer.lr=1e30", "trainer.max_steps=5")

    [row] = result.rows
    assert (result.status, row.status, row.diverged) == (0, "done", True)
    assert not math.isfinite(row.metrics["train/loss"])
    assert row.verdict == "ill"


def test_a_run_can_be_stopped_by_its_diagnostics(application: Application):
    [row] = application("init=zeros", "trainer.max_steps=30", "diagnostics.stop_on=warning").rows

    assert row.status == "done"
    assert row.stopped == "TV301 symmetric-units"
    assert row.steps < 30


def test_a_run_that_nobody_watches_says_so(application: Application):
    [row] = application("diagnostics=off").rows

    assert (row.verdict, row.vitals) == ("not watched", None)


def test_diagnostics_are_chosen_by_name(application: Application):
    [row] = application("init=zeros", "trainer.max_steps=10", "diagnostics.only=[dead-units]").rows

    assert row.vitals is not None
    assert "TV301" not in {incident.code for incident in row.vitals.incidents}


def test_gradients_are_clipped_by_the_trainer(application: Application):
    free = application("optimizer=sgd", "seed=1").rows[0]
    clipped = application("optimizer=sgd", "seed=2", "trainer.gradient_clip_val=1e-6").rows[-1]

    assert clipped.config["trainer.gradient_clip_val"] == 1e-6
    assert clipped.metrics["train/loss"] != free.metrics["train/loss"]


def test_the_recording_can_be_left_out(application: Application):
    with_one = application("seed=0")
    without = application("seed=1", "record=false")

    assert [path.parent.name[:24] for path in with_one.folder.glob("*/vitals.jsonl")] == [
        "relu-he_normal-adam-seed"
    ]
    assert len([*without.folder.glob("*/vitals.jsonl")]) == 1


def test_checkpoints_are_kept_on_request(application: Application):
    result = application("trainer=checkpointed", few=True)

    assert len([*result.folder.rglob("*.ckpt")]) == 1


@pytest.mark.slow
def test_parallel_jobs_give_the_bits_of_single_ones(application: Application):
    apart = application(*SWEEP, "sweep=apart").rows
    together = application(*SWEEP, "sweep=together", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")

    assert "4/4" in together.err
    assert numbers(together.rows) == numbers(apart)
