"""Without this file a training on several processes would have to be started by hand, and leave many rows."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch.distributed as dist
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from omegaconf import DictConfig, OmegaConf

from models.errors import invalid
from sweeps.outlets import About

PATIENCE = 60.0
"""Seconds that the other processes get to end after the first one has."""
_OURS = ("LOCAL_RANK", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT")


def is_first() -> bool:
    """Whether this process is the one that keeps the row, reports, and logs."""
    for name in ("RANK", "SLURM_PROCID"):
        if name in os.environ:
            return os.environ[name] == "0"
    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "NODE_RANK", "GROUP_RANK"))


@contextmanager
def together(config: DictConfig, about: About) -> Iterator[None]:
    """Run the body in as many processes of this machine as `trainer.devices` says, this one among them.

    Not where somebody else has started them all, such as torchrun or SLURM; and not for a strategy that needs
    one process only. The others get this configuration, and have ended, or are killed, when the body has.
    """
    if not config.trainer.get("strategy") or _started_by_others():
        yield
        return
    count, before = _devices(config), {name: os.environ.get(name) for name in _OURS}
    os.environ.update(_meeting(config, before))
    others: list[subprocess.Popen[bytes]] = []
    try:
        others += [_started(config, about, rank) for rank in range(1, count)]
        yield
        for process in others:
            process.wait(PATIENCE)
    finally:
        for process in others:
            process.kill()
            process.wait()
        if dist.is_initialized():  # else the next run of a sweep would go on in this group
            dist.destroy_process_group()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _started_by_others() -> bool:
    return "LOCAL_RANK" in os.environ or "RANK" in os.environ or SLURMEnvironment.detect()


def _devices(config: DictConfig) -> int:
    devices = config.trainer.devices
    if not isinstance(devices, int) or devices < 1:
        raise invalid("trainer.devices", value=devices, choices="a number of processes, from 1")
    return devices


def _meeting(config: DictConfig, given: Mapping[str, str | None]) -> dict[str, str]:
    """Where the processes of all machines meet."""
    if config.trainer.get("num_nodes", 1) > 1:
        missing = [name for name in _OURS[1:] if not given[name]]
        if missing:
            where = "1 with all of NODE_RANK, MASTER_ADDR and MASTER_PORT set on every machine if more"
            raise invalid("trainer.num_nodes", value=config.trainer.num_nodes, choices=where)
        return {"LOCAL_RANK": "0"}
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
    return {"LOCAL_RANK": "0", "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}


def _started(config: DictConfig, about: About, rank: int) -> "subprocess.Popen[bytes]":
    """Another process that trains with this one, and keeps nothing."""
    quiet = {"record": False, "logger": {"_target_": "sweeps.outlets.nowhere", "_partial_": True}}
    whole = {key: value for key, value in _plain(config).items() if key != "hydra"}
    env = {**os.environ, "LOCAL_RANK": str(rank), "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    process = subprocess.Popen(
        [sys.executable, "-m", "sweeps.ranks", str(about.folder)], env=env, stdin=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(OmegaConf.to_yaml(OmegaConf.create({**whole, **quiet})).encode())
    process.stdin.close()
    return process


def _plain(config: DictConfig) -> dict[str, Any]:
    found = OmegaConf.to_container(config, resolve=True)
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def _join(folder: Path, text: str) -> None:
    from sweeps.training import Outcome, train

    config = OmegaConf.create(text)
    assert isinstance(config, DictConfig)
    about = About(id=folder.name, sweep=config.sweep, folder=folder, config={}, tags=())
    train(config, about, Outcome(), aloud=False)


if __name__ == "__main__":
    _join(Path(sys.argv[1]), sys.stdin.read())
