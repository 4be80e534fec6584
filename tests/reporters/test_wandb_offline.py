"""Without this file nobody would know what lands in a W&B log: real offline runs, written and read back."""

import json
from pathlib import Path

import pytest

from tests.support import wandb_log
from tests.support.fake_wandb import FakeWandb
from tests.support.runs import glance, healthy, ill, look, loss_spike, not_learning, vanishing
from torchvitals.core.errors import FieldError
from torchvitals.core.finding import Severity
from torchvitals.reporters.wandb import NoRun, WandbReporter
from torchvitals.reporters.wandb_run import WentOffline, start_run

wandb = pytest.importorskip("wandb")
pytestmark = pytest.mark.usefixtures("wandb_folder")


def log_of(folder: Path) -> Path:
    """The log of the one run, complete: only the end of the W&B service is sure to have written it all."""
    wandb.teardown()
    (found,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    return found


@pytest.fixture
def run(wandb_folder: Path):
    run = start_run("vitals", name="one", config={"depth": 3}, folder=wandb_folder)
    assert run is not None
    yield run
    run.finish()


def test_keys_lie_on_a_step_axis_of_their_own(run, wandb_folder: Path) -> None:
    reporter = WandbReporter(run)
    for snapshot in (look(0), look(1), glance(2), glance(10, loss=float("nan"))):
        reporter.on_snapshot(snapshot)
    run.finish()
    rows = wandb_log.history(log_of(wandb_folder))
    assert [row["vitals/step"] for row in rows] == [0, 1, 10]
    assert rows[0]["vitals/gradient_norm"] == 5.0
    assert rows[2]["vitals/loss"] != rows[2]["vitals/loss"]
    metrics = wandb_log.of_kind(log_of(wandb_folder), "metric")
    assert {(m.glob_name, m.step_metric) for m in metrics if m.glob_name} == {("vitals/*", "vitals/step")}


def test_steps_that_the_script_logs_itself_are_not_lost(run, wandb_folder: Path) -> None:
    reporter = WandbReporter()
    for step in range(4):
        run.log({"mine": step}, step=step)
        reporter.on_snapshot(look(step))
    run.finish()
    rows = wandb_log.history(log_of(wandb_folder))
    assert [(row["mine"], row["vitals/step"]) for row in rows] == [(step, step) for step in range(4)]


def test_close_writes_table_and_summary_and_leaves_the_run_open(run, wandb_folder: Path) -> None:
    WandbReporter(run).on_close(ill())
    run.log({"after": 1})
    run.finish()
    summary = wandb_log.summary(log_of(wandb_folder))
    assert summary["vitals/verdict"] == "ill"
    assert summary["vitals/root_cause"] == "TV201 vanishing-gradient"
    assert summary["vitals/module"] == "blocks.0.act"
    assert summary["vitals/onset_step"] == 0
    assert summary["vitals/cost_share"] == pytest.approx(0.41 / 32.1)
    assert summary["vitals/blind_spots"] == 1
    assert summary["after"] == 1
    (file,) = log_of(wandb_folder).parent.glob("files/media/table/vitals/incidents_*.json")
    table = json.loads(file.read_text())
    row = dict(zip(table["columns"], table["data"][0], strict=True))
    assert len(table["data"]) == 3
    assert (row["code"], row["severity"], row["onset"]) == ("TV201", "CRITICAL", 0)
    assert row["evidence"] == "decades=7.412, sites=9, largest_drop=blocks.4.act"
    assert row["remedies"].startswith("Use ReLU with He initialisation. activation=relu init=he_normal; ")


def test_only_new_roots_above_info_alert(run, wandb_folder: Path) -> None:
    reporter = WandbReporter(run, cooldown=120)
    for incident in (
        vanishing(severity=Severity.WARNING),
        vanishing(),
        not_learning(),
        loss_spike(resolved=None),
        vanishing(resolved=250),
    ):
        reporter.on_incident(incident)
    run.finish()
    (alert,) = wandb_log.of_kind(log_of(wandb_folder), "alert")
    assert alert.title == "torchvitals: TV201 vanishing-gradient"
    assert alert.level == "WARN"
    assert alert.wait_duration == 120_000
    assert "Why: sigmoid passes on" in alert.text
    assert "Try: Lower the depth." in alert.text


def test_a_healthy_run_has_a_verdict_and_no_root(run, wandb_folder: Path) -> None:
    WandbReporter(run).on_close(healthy())
    run.finish()
    summary = wandb_log.summary(log_of(wandb_folder))
    assert summary["vitals/verdict"] == "healthy"
    assert not {"vitals/root_cause", "vitals/incidents"} & summary.keys()


def test_finished_run_is_an_error_at_once_and_not_a_wait(run) -> None:
    reporter = WandbReporter(run)
    reporter.on_snapshot(look(0))
    run.finish()
    with pytest.raises(NoRun, match="finished before the training was"):
        reporter.on_close(healthy())


def test_without_a_run_the_message_says_what_to_call() -> None:
    with pytest.raises(NoRun, match=r"call wandb\.init\(\) before the training"):
        WandbReporter().on_snapshot(look(0))


def test_cooldown_of_zero_is_refused() -> None:
    with pytest.raises(FieldError, match=r"WandbReporter\.cooldown=0"):
        WandbReporter(cooldown=0)


def test_two_runs_in_one_process_stay_two(wandb_folder: Path) -> None:
    first, second = (start_run("vitals", name=name, folder=wandb_folder) for name in ("one", "two"))
    assert first is not None
    assert second is not None
    assert first.id != second.id
    second.finish()
    assert len(list(wandb_folder.glob("wandb/offline-run-*"))) == 2


def test_online_without_login_goes_offline_with_one_warning(
    wandb_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeWandb() as fake:
        monkeypatch.setenv("WANDB_BASE_URL", fake.url)
        with pytest.warns(
            WentOffline, match="'vitals' is written to disk only: nobody is logged in"
        ) as caught:
            run = start_run("vitals", folder=wandb_folder, mode="online")
    assert len(caught) == 1
    assert run is not None
    assert run.offline
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"torchvitals: {caught[0].message}"
    (folder,) = wandb_folder.glob("wandb/offline-run-*")
    assert line.endswith(f"To upload it later: wandb sync {folder}")
    run.finish()


def test_disabled_is_no_run(wandb_folder: Path) -> None:
    assert start_run("vitals", folder=wandb_folder, mode="disabled") is None


def test_unknown_mode_is_refused() -> None:
    with pytest.raises(FieldError, match="online, offline, disabled"):
        start_run("vitals", mode="on")  # type: ignore[arg-type]
