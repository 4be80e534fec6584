"""A sweep that is killed loses the runs in flight and nothing else."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sweeps.app import CONF
from sweeps.row import rows_in

ROOT = CONF.parent
RUNS = 8
SWEEP = ["--multirun", f"seed=range({RUNS})", "sweep=mine", "trainer.max_epochs=12", "data.max_samples=600"]
PARALLEL = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "diagnostics")])
    return subprocess.Popen(
        [sys.executable, "-m", "sweeps", *SWEEP, *arguments],
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
