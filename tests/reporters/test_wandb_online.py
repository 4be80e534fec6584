"""Without this file a W&B server that leaves could hold up a training: real client, loopback stand-in."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.fake_wandb import FakeWandb

pytest.importorskip("wandb")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

SCRIPT = """
import sys, time, warnings
from tests.support.runs import ill, look, vanishing
from torchvitals.reporters.wandb import WandbReporter
from torchvitals.reporters.wandb_run import start_run
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    run = start_run("proj", name="run", folder=sys.argv[1], mode="online")
print(*(w.message for w in caught))
print("offline" if run.offline else "online", flush=True)
if len(sys.argv) > 2:
    sys.stdin.readline()
reporter = WandbReporter(run)
for step in range(20):
    reporter.on_snapshot(look(step))
reporter.on_incident(vanishing())
reporter.on_close(ill())
run.finish()
print("done")
"""


def start(folder: Path, url: str, *arguments: str) -> subprocess.Popen[str]:
    folders = dict.fromkeys(
        ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "HOME"), str(folder)
    )
    login = {"WANDB_BASE_URL": url, "WANDB_API_KEY": "local-" + 40 * "a", "WANDB_ERROR_REPORTING": "false"}
    plain = {k: v for k, v in os.environ.items() if not k.startswith("WANDB") and "proxy" not in k.lower()}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), *arguments],
        env={**plain, **folders, **login, "PYTHONPATH": os.pathsep.join([".", "diagnostics"])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_online_run_uploads_keys_and_alert(tmp_path: Path) -> None:
    with FakeWandb() as fake:
        process = start(tmp_path, fake.url)
        out, errors = process.communicate(timeout=40)
    assert out.split() == ["online", "done"], errors
    assert {run["displayName"] for run in fake.runs} >= {"run"}
    assert [row["vitals/step"] for row in fake.history()] == list(range(20))
    assert [alert["title"] for alert in fake.alerts] == ["torchvitals: TV201 vanishing-gradient"]


@pytest.mark.parametrize(
    "leave",
    [pytest.param(FakeWandb.die, id="refuses"), pytest.param(FakeWandb.fall_silent, id="never-answers")],
)
def test_server_that_leaves_in_the_middle_neither_raises_nor_hangs(
    tmp_path: Path, leave: Callable[[FakeWandb], None]
) -> None:
    with FakeWandb() as fake:
        process = start(tmp_path, fake.url, "wait")
        assert process.stdout is not None
        assert process.stdout.readline().strip() == ""
        assert process.stdout.readline().strip() == "online"
        leave(fake)
        began = time.monotonic()
        out, errors = process.communicate("\n", timeout=50)
    assert out.splitlines()[-1] == "done", errors
    assert process.returncode == 0
    assert time.monotonic() - began < 40  # 10 s for the table, the rest for the end


def test_unreachable_server_means_offline_within_seconds(tmp_path: Path) -> None:
    fake = FakeWandb()
    fake.die()
    began = time.monotonic()
    out, errors = start(tmp_path, fake.url).communicate(timeout=40)
    assert f"written to disk only: {fake.url} refused the connection" in out, errors
    assert "\ntorchvitals: The W&B run 'run' is written" in f"\n{errors}"
    assert out.split()[-2:] == ["offline", "done"]
    assert time.monotonic() - began < 20
