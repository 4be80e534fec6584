"""What it was measured on."""

import os
import platform
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import torchvitals

PACKAGES = ("wandb", "pytorch-lightning", "transformers", "torchmortem", "torch-audit")


def machine(device: str) -> dict[str, Any]:
    """Cores, processor, versions and date."""
    return {
        "date": date.today().isoformat(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cpu": _cpu(),
        "device": device if device == "cpu" else torch.cuda.get_device_name(device),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvitals": torchvitals.__version__,
        "peers": {name: found for name in PACKAGES if (found := _version(name))},
    }


def _cpu() -> str:
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
