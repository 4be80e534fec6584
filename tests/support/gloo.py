"""Runs a function on several real processes that talk; what each returns comes back in rank order."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import start_processes


def on_ranks(
    function: Callable[..., Any], *given: Any, size: int = 2, backend: str = "gloo", start: str = "fork"
) -> list[Any]:
    """`function(rank, *given)` on every rank; what it raises on one of them is raised here."""
    with tempfile.TemporaryDirectory() as folder:
        start_processes(_run, (function, given, size, folder, backend), nprocs=size, start_method=start)
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=False) for rank in range(size)]


def _run(
    rank: int, function: Callable[..., Any], given: tuple[Any, ...], size: int, folder: str, backend: str
) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group(backend, init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
    try:
        torch.save(function(rank, *given), Path(folder) / f"{rank}.pt")
    finally:
        dist.destroy_process_group()
