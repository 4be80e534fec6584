"""A run that is typed again replaces its result when it ends, and destroys nothing when it does not."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sweeps.app import CONF
from sweeps.row import Row, rows_in
from tests.sweeps.conftest import Application

ROOT = CONF.parent
LONG = ["trainer.max_epochs=100000"]


def left_in(folder: Path) -> dict[str, str]:
    """What an earlier run has left, by name."""
    names = ("result.json", "vitals.jsonl")
    return {path.name: path.read_text() for path in folder.rglob("*") if path.name in names}


def interrupted(folder: Path) -> subprocess.CompletedProcess[str]:
    """A single run that gets Ctrl-C while it trains."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sweeps", *LONG],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "diagnostics")])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not any(folder.rglob("vitals.unfinished.jsonl")):
        assert time.monotonic() < deadline, "the run did not start"
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess([], process.returncode, out, err)


def test_a_run_that_is_interrupted_says_that_it_has_no_result(tmp_path: Path):
    run = interrupted(tmp_path)

    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == "Interrupted. This run has no result."
    assert left_in(tmp_path) == {}


def test_an_interrupt_keeps_the_result_and_the_recording_of_an_earlier_run(
    application: Application, tmp_path: Path
):
    # The earlier run of this very folder, made short by moving what a short one has left.
    short = application()
    interrupted(tmp_path)
    [long] = [path.parent for path in tmp_path.rglob("vitals.unfinished.jsonl")]
    [done] = [path.parent for path in tmp_path.rglob("result.json")]
    for name in ("result.json", "vitals.jsonl"):
        os.replace(done / name, long / name)
    (long / "vitals.unfinished.jsonl").unlink()
    before = left_in(tmp_path)

    run = interrupted(tmp_path)

    assert short.status == 0
    assert run.returncode == 1
    assert "Interrupted. The result of an earlier run is kept in runs/single/" in run.stderr
    assert left_in(tmp_path) == before
    assert len(before) == 2


def test_a_run_that_fails_keeps_the_result_and_the_recording_of_an_earlier_one(application: Application):
    application("logger=wandb", "logger.mode=disabled")
    folder = Path("runs")
    before = left_in(folder)

    again = application("logger=wandb", "logger.mode=onlien")

    assert again.status == 1
    assert "mode='onlien' is not possible." in again.complaint
    assert "The result of an earlier run is kept in runs/single/" in again.complaint
    assert left_in(folder) == before
    assert len(before) == 2
    assert len([*folder.rglob("error.txt")]) == 1


def test_a_sweep_says_that_a_run_failed_whose_earlier_result_is_kept(application: Application):
    first = application("--multirun", "seed=0,1", "sweep=mine")

    again = application("--multirun", "seed=0,1", "sweep=mine", "resume=false", "threads=0")

    assert again.status == 1
    assert again.err.count("error.txt; an earlier result is kept") == 2
    assert again.rows == first.rows


def test_a_run_that_succeeds_clears_the_traceback_of_one_that_failed(application: Application):
    application("logger=wandb", "logger.mode=onlien")

    again = application()

    rows: list[Row] = [*rows_in(again.folder)]
    assert [row.status for row in rows] == ["done"]
    assert not [*again.folder.rglob("error.txt")]
    assert not [*again.folder.rglob("vitals.unfinished.jsonl")]


@pytest.mark.parametrize("code", ["TV301 symmetric-units"])
def test_a_stop_is_told_in_the_last_line(application: Application, code: str):
    result = application("init=zeros", "trainer.max_steps=30", "diagnostics.stop_on=warning")

    [row] = result.rows
    assert f"stopped at step {row.steps} by stop_on=warning: {code}, kept in" in result.out.splitlines()[-1]


def test_a_divergence_is_told_in_the_last_line(application: Application):
    result = application("optimizer=sgd", "optimizer.lr=1e30", "trainer.max_steps=5")

    assert "diverged: a loss or a parameter is not finite, kept in" in result.out.splitlines()[-1]
