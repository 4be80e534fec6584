"""Runs the application in this process and a folder of its own; without it tests would pay for imports."""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from sweeps.app import main
from sweeps.row import Row, rows_in

FEW = ("trainer.max_steps=3", "model.width=8", "data.max_samples=200")


@dataclass(frozen=True)
class Result:
    """What a command line came to."""

    status: int
    complaint: str
    """what was printed on the way out"""
    out: str
    err: str
    folder: Path
    """the only one under runs/, or that of `sweep=`"""
    rows: list[Row]
    """as they were then, in the order of the sweep"""


Application = Callable[..., Result]


@pytest.fixture
def application(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Application]:
    """`application("--multirun", "activation=relu,tanh")`, small and short unless told otherwise."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    threads = torch.get_num_threads()

    def run(*arguments: str, few: bool = True) -> Result:
        monkeypatch.setattr(sys, "argv", ["sweeps", *(FEW if few else ()), *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        said = capsys.readouterr()
        named = [argument.partition("=")[2] for argument in arguments if argument.startswith("sweep=")]
        folder = next((tmp_path / "runs").glob(named[0] if named else "*"), tmp_path)
        rows = sorted(rows_in(folder), key=lambda row: row.number)
        complaint = code if isinstance(code, str) else ""
        return Result(1 if complaint else int(code or 0), complaint, said.out, said.err, folder, rows)

    yield run
    torch.set_num_threads(threads)


@pytest.fixture
def wandb_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What W&B writes outside of the run's folder lands here, nobody is logged in, no session survives."""
    import wandb

    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    for name in [
        key for key in os.environ if key in {"WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "NETRC"}
    ]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    yield tmp_path / "home"
    wandb.teardown()
