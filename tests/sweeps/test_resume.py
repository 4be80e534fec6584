"""A sweep that is killed loses the runs in flight and nothing else."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from sweeps.app import CONF
from sweeps.row import rows_in
from torchvitals.reporters.recording import read

ROOT = CONF.parent
RUNS = 8
SWEEP = ["--multirun", f"seed=range({RUNS})", "sweep=mine", "trainer.max_epochs=12", "data.max_samples=600"]
PARALLEL = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]


def start(folder: Path, *arguments: str, sweep: Sequence[str] = SWEEP) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "diagnostics")])
    return subprocess.Popen(
        [sys.executable, "-m", "sweeps", *sweep, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_runs(sweep: Path, number: int) -> None:
    deadline = time.monotonic() + 60
    while len([*sweep.glob("*/result.json")]) < number:
        assert time.monotonic() < deadline, "the sweep did not start"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [pytest.param([], id="basic"), pytest.param(PARALLEL, id="joblib")])
def test_a_killed_sweep_goes_on_where_it_was(tmp_path: Path, launcher: list[str]):
    sweep = tmp_path / "runs" / "mine"
    killed = start(tmp_path, *launcher)
    wait_for_runs(sweep, 3)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    before = {row.id: row for row in rows_in(sweep)}

    again = start(tmp_path, *launcher)
    out, err = again.communicate(timeout=120)

    after = {row.id: row for row in rows_in(sweep)}
    assert 3 <= len(before) < RUNS
    assert again.returncode == 0, err
    assert f"{len(before)} of {RUNS} runs were done before and are kept." in err
    assert f"{RUNS} runs: " in out
    assert len(after) == RUNS
    assert {name: after[name] for name in before} == before


@pytest.mark.slow
def test_an_interrupted_sweep_still_prints_its_table(tmp_path: Path):
    interrupted = start(tmp_path)
    wait_for_runs(tmp_path / "runs" / "mine", 2)
    os.killpg(interrupted.pid, signal.SIGINT)

    out, err = interrupted.communicate(timeout=60)

    assert interrupted.returncode == 1
    assert "runs are missing: the same command runs them." in out
    assert "Interrupted. Runs that are finished are kept" in err
    assert "Traceback" not in err
    assert (tmp_path / "runs" / "mine" / "results.csv").exists()


@pytest.mark.slow
def test_a_killed_run_with_checkpoints_is_watched_to_its_end_as_one(tmp_path: Path):
    sick = ["activation=sigmoid", "init=normal01", "data.max_samples=600"]
    alone = ["--multirun", "sweep=mine", *sick, "trainer=checkpointed", "trainer.max_epochs=40"]
    killed = start(tmp_path, sweep=alone)
    deadline = time.monotonic() + 60
    while not (found := [*tmp_path.rglob("epoch=[3-9]-*.ckpt")]):
        assert time.monotonic() < deadline, "no checkpoint was written"
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert not [*rows_in(tmp_path / "runs" / "mine")]

    folder = found[0].parents[1]
    begun = folder / "vitals.unfinished.jsonl"
    begun.write_text(begun.read_text().replace('"labels":{', '"labels":{"by":"the killed one",', 1))

    again = start(tmp_path, sweep=alone)
    _, err = again.communicate(timeout=120)

    assert again.returncode == 0, err
    (row,) = rows_in(tmp_path / "runs" / "mine")
    assert row.vitals is not None
    recording = read(folder / "vitals.jsonl")
    assert recording.snapshots[0].labels["by"] == "the killed one"
    looks = [s.step for s in recording.snapshots]
    assert looks == sorted(set(looks))
    assert looks[0] == 0
    assert row.vitals.coverage.steps == row.steps
    assert row.vitals.incidents[0].onset == 0
    assert not any("resumed" in sentence for sentence in row.vitals.coverage.blind)
