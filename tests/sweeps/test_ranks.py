"""One training on several processes leaves one row and one report, whoever starts them."""

import os

import pytest
import torch.distributed as dist

from sweeps.ranks import is_first
from tests.sweeps.conftest import Application

CPU = ("trainer.accelerator=cpu", "trainer.devices=2")


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["ddp", "fsdp"])
def test_two_processes_leave_one_row_and_one_report(application: Application, trainer: str):
    result = application(f"trainer={trainer}", *CPU)

    assert result.status == 0, result.complaint
    [row] = result.rows
    assert row.status == "done"
    assert row.vitals is not None
    assert row.vitals.coverage.measured["rank_forward"] == 2
    assert row.vitals.coverage.measured["gradient"] == row.vitals.coverage.measured["parameter"]
    assert result.err.count("torchvitals: healthy") == 1
    assert sorted(path.name for path in result.folder.glob("*/*.jsonl")) == ["vitals.jsonl"]
    assert not dist.is_initialized()
    assert not {"LOCAL_RANK", "NODE_RANK", "MASTER_PORT"} & set(os.environ)


@pytest.mark.slow
def test_a_sweep_of_such_trainings_leaves_a_row_for_each(application: Application):
    result = application("--multirun", "seed=0,1", "trainer=ddp", *CPU)

    assert [row.status for row in result.rows] == ["done", "done"]
    assert all(row.vitals and "rank_forward" in row.vitals.coverage.measured for row in result.rows)


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("trainer.devices=auto", "trainer.devices"),
        ("trainer.num_nodes=2", "MASTER_ADDR"),
    ],
)
def test_what_cannot_be_started_is_said_in_a_sentence(application: Application, override, complaint):
    result = application("trainer=ddp", override)

    assert complaint in result.complaint


@pytest.mark.parametrize(
    ("environment", "first"),
    [
        ({}, True),
        ({"LOCAL_RANK": "1"}, False),
        ({"LOCAL_RANK": "0", "NODE_RANK": "1"}, False),
        ({"LOCAL_RANK": "0", "RANK": "4"}, False),
        ({"LOCAL_RANK": "0", "RANK": "0"}, True),
        ({"SLURM_PROCID": "2"}, False),
    ],
)
def test_one_process_of_all_is_the_first(monkeypatch: pytest.MonkeyPatch, environment, first):
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert is_first() is first
