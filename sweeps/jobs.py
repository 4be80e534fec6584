"""Without this file an exception in one run would cost the row of that run, and with it the reason."""

import time
import traceback
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from sweeps.complaints import sentence
from sweeps.identity import flattened, science
from sweeps.outlets import About
from sweeps.ranks import is_first, together
from sweeps.row import TRACEBACK, Row, keep, write_whole
from sweeps.training import PARTS, Outcome, train


def carry_out(config: DictConfig, folder: Path, *, aloud: bool) -> Row:
    """Train what the configuration describes and leave the row in the folder, also after an exception.

    What an earlier run has left there is replaced by a run that ends, never by one that fails.
    """
    started = time.perf_counter()
    settings = HydraConfig.get()
    about = _about(config, folder, settings.runtime.choices)
    outcome = Outcome()
    error = None
    try:
        with together(config, about):
            train(config, about, outcome, aloud=aloud and is_first())
    except SystemExit as left:  # Lightning's answer to Ctrl-C, which would end a sweep without its table
        raise KeyboardInterrupt from left
    except Exception as raised:
        error = sentence(raised, config=about.config)
        write_whole(folder / TRACEBACK, traceback.format_exc())
    row = Row(
        id=about.id,
        sweep=about.sweep,
        status="failed" if error else "done",
        error=error,
        number=0 if OmegaConf.is_missing(settings.job, "num") else settings.job.num,
        overrides=tuple(settings.overrides.task),
        config=about.config,
        wall_seconds=time.perf_counter() - started,
        finished=time.time(),
        versions=_versions(),
        **vars(outcome),
    )
    if is_first():
        keep(row, folder)
    return row


def _about(config: DictConfig, folder: Path, choices: Mapping[str, str]) -> About:
    flat = _flat(config, choices)
    tags = tuple(flat[part] for part in PARTS)
    return About(id=folder.name, sweep=config.sweep, folder=folder, config=flat, tags=tags)


def _flat(config: DictConfig, choices: Mapping[str, str]) -> dict[str, Any]:
    """Groups by the option that was chosen, leaves by their dotted key."""
    leaves = flattened(science(config))
    chosen = {part: choices[part] for part in PARTS}
    return {**chosen, **{key: leaf for key, leaf in leaves.items() if not key.endswith(".name")}}


def _versions() -> dict[str, str]:
    packages = {name: version(name) for name in ("torch", "pytorch-lightning", "torchvitals")}
    return {"python": python_version(), **packages}
