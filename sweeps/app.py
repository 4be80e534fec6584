"""Without this file there would be no application: what becomes of a command line, one run at a time."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import env_override
from hydra.types import RunMode
from omegaconf import DictConfig
from rich.console import Console

from sweeps.complaints import sentence
from sweeps.identity import register_resolvers, sweep_name
from sweeps.progress import Watch
from sweeps.row import FILE, TRACEBACK, Row, load
from sweeps.table import conclude
from sweeps.words import concluded

CONF = Path(__file__).parents[1] / "conf"
FLAGS = frozenset({"-m", "--multirun"})

register_resolvers()


def main() -> None:
    """Run the command line of this process; a mistake in it or a failed run ends in exit status 1."""
    sys.argv[1:] = completed(sys.argv[1:])
    complaint = _complaint_of(run)
    watch = Watch.running()
    failed = False
    if watch is not None:
        watch.finish()
        conclude(watch.folder, Console())
        failed = any(row.status == "failed" for row in watch.rows.values())
    sys.exit(complaint or int(failed))


def _complaint_of(task: Callable[[], object]) -> str | None:
    """What stopped the task, in one sentence; `HYDRA_FULL_ERROR=1` lets it through with its traceback."""
    in_full = os.environ.get("HYDRA_FULL_ERROR") == "1"
    try:
        with env_override({"HYDRA_FULL_ERROR": "1"}):  # Hydra raises then what it would print in many lines
            task()
    except KeyboardInterrupt:
        if Watch.running() is None:
            return "Interrupted."
        return "Interrupted. Runs that are finished are kept: the same sweep goes on from there."
    except Exception as error:
        if in_full:
            raise
        return f"Error: {sentence(error)}"
    return None


def completed(arguments: list[str]) -> list[str]:
    """The arguments, with a name for a multirun without one, the same for the same command line."""
    rest = [argument for argument in arguments if argument not in FLAGS]
    if len(rest) == len(arguments):
        return arguments
    overrides = [argument for argument in rest if not argument.startswith("-")]
    named = any(override.lstrip("+").startswith("sweep=") for override in overrides)
    # First, because argparse wants all overrides in one row.
    return ["--multirun", *([] if named else [f"sweep={sweep_name(overrides)}"]), *rest]


@hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
def run(config: DictConfig) -> str:
    """One job: train, or keep what an earlier sweep left in this folder; the row's status, or `kept`."""
    settings = HydraConfig.get()
    folder = Path(settings.runtime.output_dir)
    alone = settings.mode == RunMode.RUN
    if config.resume and not alone and _done(folder):
        os.utime(folder / FILE)  # tells whoever watches the folder that this run is accounted for
        return "kept"
    from sweeps.jobs import (  # a sweep that has nothing left to do should not wait for torch
        carry_out,
        is_first,
    )

    try:
        row = carry_out(config, folder, aloud=alone)
    except KeyboardInterrupt:
        if alone:
            sys.exit(f"Interrupted. {_left(folder)}")
        raise
    if alone and is_first():
        _say(row, folder)
    return row.status


def _say(row: Row, folder: Path) -> None:
    """End a single run: its score and where it is kept, or what was wrong and exit status 1."""
    place = os.path.relpath(folder)
    if row.error:
        kept = f"\n{_left(folder)}" if _done(folder) else ""
        sys.exit(f"Error: {row.error}\nTraceback: {place}/{TRACEBACK}{kept}")
    print(f"{concluded(row)}, kept in {place}/")


def _left(folder: Path) -> str:
    if not _done(folder):
        return "This run has no result."
    return f"The result of an earlier run is kept in {os.path.relpath(folder)}/."


def _done(folder: Path) -> bool:
    row = load(folder)
    return row is not None and row.status == "done"
