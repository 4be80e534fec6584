"""Whatever a run is logged to, its numbers arrive there, and a logger that fails harms no training."""

import csv
from pathlib import Path

import pytest
import wandb

from tests.support.wandb_log import history, of_kind, summary
from tests.sweeps.conftest import Application

ILL = (
    "activation=sigmoid",
    "model.depth=10",
    "model.width=64",
    "trainer.max_steps=20",
    "data.max_samples=600",
)


def test_csv_holds_training_and_vitals(application: Application):
    result = application("logger=csv")

    [path] = result.folder.rglob("metrics.csv")
    with path.open(newline="") as file:
        columns = set(next(csv.reader(file)))
    assert {"step", "train/loss", "val/accuracy", "test/accuracy", "vitals/gradient_norm"} <= columns


def test_tensorboard_holds_training_and_vitals(application: Application):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = application("logger=tensorboard")

    tags: set[str] = set()
    for path in result.folder.rglob("events.out.tfevents.*"):
        events = EventAccumulator(str(path))
        events.Reload()
        tags |= set(events.Tags()["scalars"])
    assert {"train/loss", "test/accuracy", "vitals/gradient_norm"} <= tags
    assert "hp_metric" not in tags


def logs(folder: Path) -> list[Path]:
    wandb.teardown()  # a run may be finished a moment before all of it is on disk
    return sorted(folder.rglob("*.wandb"))


@pytest.mark.slow
@pytest.mark.usefixtures("wandb_at_home")
def test_two_jobs_of_one_process_are_two_wandb_runs_of_one_group(application: Application):
    result = application("--multirun", "logger=wandb", "optimizer=sgd,adam", "sweep=mine")

    assert result.status == 0
    runs = [of_kind(path, "run")[0] for path in logs(result.folder)]
    assert len({run.run_id for run in runs}) == 2
    assert {run.run_group for run in runs} == {"mine"}
    assert {run.display_name for run in runs} == {row.id for row in result.rows}
    assert {tag for run in runs for tag in run.tags} >= {"sgd", "adam", "relu", "digits"}
    assert all(of_kind(path, "exit") for path in logs(result.folder))


@pytest.mark.slow
@pytest.mark.usefixtures("wandb_at_home")
def test_an_ill_run_tells_wandb_configuration_metrics_incidents_and_verdict(application: Application):
    result = application("logger=wandb", *ILL)

    [path] = logs(result.folder)
    keys = {key for row in history(path) for key in row}
    assert {
        "train/loss",
        "test/accuracy",
        "vitals/loss",
        "vitals/gradient_norm",
        "vitals/incidents._type",
    } <= keys
    assert summary(path)["vitals/verdict"] == result.rows[0].verdict
    assert summary(path)["vitals/root_cause"] == "TV201 vanishing-gradient"
    assert "TV201" in of_kind(path, "alert")[0].title


@pytest.mark.slow
@pytest.mark.usefixtures("wandb_at_home")
def test_a_sweep_agent_cannot_overwrite_the_configuration(application: Application):
    result = application("logger=wandb", "model.depth=2")

    [path] = logs(result.folder)
    updates = [update for record in of_kind(path, "run") for update in record.config.update]
    config = {update.key: update.value_json for update in updates}
    assert config["hydra/model/depth"] == "2"
    assert config["hydra/activation"] == '"relu"'
    assert "activation" not in config


@pytest.mark.slow
@pytest.mark.usefixtures("wandb_at_home")
def test_without_a_login_an_online_run_is_written_to_disk(application: Application):
    with pytest.warns(UserWarning, match="written to disk only: "):
        result = application("logger=wandb", "logger.mode=online")

    assert (result.status, result.rows[0].status) == (0, "done")
    assert len(logs(result.folder)) == 1


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.usefixtures("wandb_at_home")
def test_an_unreachable_server_neither_stops_nor_holds_up_a_run(
    application: Application, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "local-" + 40 * "a")

    with pytest.warns(UserWarning, match="written to disk only: "):
        result = application("logger=wandb", "logger.mode=online")

    assert (result.status, result.rows[0].status) == (0, "done")
    assert result.rows[0].wall_seconds < 30


@pytest.mark.slow
@pytest.mark.usefixtures("wandb_at_home")
def test_a_job_that_fails_finishes_its_wandb_run(application: Application):
    result = application("--multirun", "logger=wandb", "diagnostics.only=[dead-units],[dead-unit]")

    assert [row.status for row in result.rows] == ["done", "failed"]
    assert [of_kind(path, "exit")[0].exit_code for path in sorted(logs(result.folder), key=_age)] == [0, 1]


def _age(path: Path) -> float:
    return path.stat().st_mtime
