"""Without this file each logger would be opened, fed and closed in its own way."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from torchvitals.core.protocols import Reporter
from torchvitals.reporters.loggers import LoggersReporter
from torchvitals.reporters.wandb import WandbReporter
from torchvitals.reporters.wandb_run import Mode, start_run


@dataclass(frozen=True, kw_only=True)
class About:
    """The run that speaks."""

    id: str
    sweep: str
    folder: Path
    config: Mapping[str, Any]
    tags: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Outlet:
    """What the trainer logs to, and what the diagnostics report to."""

    logger: Logger | None = None
    reporters: tuple[Reporter, ...] = ()


@contextmanager
def nowhere(about: About) -> Iterator[Outlet]:  # noqa: ARG001 -- called as the others are
    """Nothing but the row."""
    yield Outlet()


@contextmanager
def csv(about: About) -> Iterator[Outlet]:
    """`csv/metrics.csv` in the run's folder."""
    logger = CSVLogger(about.folder, name="csv", version="")
    yield Outlet(logger=logger, reporters=(LoggersReporter([logger]),))  # pyright: ignore[reportArgumentType] -- it asks for a dict and gets one


@contextmanager
def tensorboard(about: About) -> Iterator[Outlet]:
    """`tensorboard/` in the run's folder: `tensorboard --logdir runs/NAME` compares a whole sweep."""
    logger = TensorBoardLogger(about.folder, name="tensorboard", version="", default_hp_metric=False)
    yield Outlet(logger=logger, reporters=(LoggersReporter([logger]),))


@contextmanager
def wandb(about: About, *, mode: Mode, project: str, entity: str | None) -> Iterator[Outlet]:
    """One W&B run for this one training, finished on leaving; the runs of a sweep are one group.

    It goes offline where online does not work, and to nowhere where not even a file can be written.
    """
    # Under a prefix: a sweep agent owns the plain keys that it sets, and would overwrite ours.
    config = {f"hydra/{key.replace('.', '/')}": value for key, value in about.config.items()}
    more = {"entity": entity, "group": about.sweep, "tags": about.tags}
    run = start_run(project, name=about.id, config=config, folder=about.folder, mode=mode, **more)
    if run is None:
        yield Outlet()
        return
    for prefix in ("train", "val", "test"):
        run.define_metric(f"{prefix}/*", step_metric="trainer/global_step")
    exit_code = 1
    try:
        yield Outlet(logger=WandbLogger(experiment=run), reporters=(WandbReporter(run),))
        exit_code = 0
    finally:
        # A server that has gone away must not make a finished training a failed one.
        with suppress(Exception):
            run.finish(exit_code=exit_code)
