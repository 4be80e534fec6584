"""Without this file a configuration would stay a text: it trains one network and says what came of it."""

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from models.build import build
from models.errors import invalid, require_count
from sweeps.clock import StepClock
from sweeps.outlets import About, Outlet, nowhere
from sweeps.quiet import quiet
from sweeps.ranks import is_first
from sweeps.row import load
from torchvitals.core.protocols import Reporter
from torchvitals.core.summary import Summary
from torchvitals.probes.shards import local
from torchvitals.reporters import ConsoleReporter, JsonlReporter

RECORDING = "vitals.jsonl"
UNFINISHED = "vitals.unfinished.jsonl"
"""Its name until the run is over: one that fails must not cost the recording of an earlier one."""
PARTS = ("model", "activation", "init", "optimizer", "scheduler", "data")


@dataclass
class Outcome:
    """What is known of a training so far; filled as it goes, so that an exception loses nothing of it."""

    metrics: dict[str, float] = field(default_factory=dict)
    score: str = "test/loss"
    diverged: bool = False
    stopped: str | None = None
    steps: int = 0
    step_seconds: float | None = None
    vitals: Summary | None = None


def train(config: DictConfig, about: About, outcome: Outcome, *, aloud: bool) -> None:
    """Train what the configuration describes, test it, and tell `outcome`; if `aloud`, the terminal too."""
    _check(config)
    torch.set_num_threads(config.threads)
    pl.seed_everything(config.seed, verbose=False)
    first = is_first()
    built = build(**{part: config[part] for part in PARTS}, seed=config.seed)
    outcome.score = f"test/{built.module.task.main_metric}"
    with quiet(), _outlet(config, about, first=first) as outlet:
        reporters = _reporters(outlet, record=config.record and first, folder=about.folder, aloud=aloud)
        watcher = instantiate(config.diagnostics, _partial_=True, _convert_="all")(reporters=reporters)
        clock = StepClock()
        trainer = _trainer(config.trainer, outlet, folder=about.folder, callbacks=[watcher, clock])
        with _noting(outcome, trainer, watcher=watcher, clock=clock, network=built.module):
            trainer.fit(built.module, built.data, ckpt_path=_left_behind(about.folder, config))
            outcome.stopped = _reason(watcher) if trainer.should_stop else None
            _note_metrics(outcome, trainer.callback_metrics)
            trainer.test(built.module, built.data, verbose=False)
    if config.record and first and (about.folder / UNFINISHED).exists():
        os.replace(about.folder / UNFINISHED, about.folder / RECORDING)


def _check(config: DictConfig) -> None:
    """Complain about the numbers that others would stumble over, in words of their own, or not at all."""
    require_count("threads", value=config.threads, minimum=1)
    require_count("seed", value=config.seed, minimum=0)
    rate = OmegaConf.select(config, "optimizer.lr")
    if not isinstance(rate, int | float) or not rate > 0:
        raise invalid("optimizer.lr", value=rate, choices="a number above 0")
    for key in ("trainer.max_epochs", "trainer.max_steps"):
        value = OmegaConf.select(config, key)
        if not isinstance(value, int | float | None):
            raise invalid(key, value=value, choices="a number")


def _outlet(config: DictConfig, about: About, *, first: bool) -> AbstractContextManager[Outlet]:
    return instantiate(config.logger)(about) if first else nowhere(about)


def _left_behind(folder: Path, config: DictConfig) -> Path | None:
    """The latest checkpoint of a run that was killed in this folder; one that ended begins anew."""
    if not (config.resume and config.trainer.enable_checkpointing) or load(folder) is not None:
        return None
    return max(folder.rglob("*.ckpt"), key=lambda path: path.stat().st_mtime, default=None)


def _reporters(outlet: Outlet, *, record: bool, folder: Path, aloud: bool) -> tuple[Reporter, ...]:
    recorder = (JsonlReporter(folder / UNFINISHED),) if record else ()
    terminal = (ConsoleReporter(),) if aloud else ()
    return (*recorder, *terminal, *outlet.reporters)


def _trainer(config: DictConfig, outlet: Outlet, *, folder: Path, callbacks: list[Any]) -> pl.Trainer:
    make = instantiate(config, _partial_=True, _convert_="all")
    return make(
        logger=outlet.logger or False,
        default_root_dir=folder,
        callbacks=[callback for callback in callbacks if callback is not None],
    )


@contextmanager
def _noting(
    outcome: Outcome, trainer: pl.Trainer, *, watcher: Any, clock: StepClock, network: nn.Module
) -> Iterator[None]:
    """Take down, whatever happens inside, what the trainer and the watcher know at the end."""
    try:
        yield
    finally:
        _note_metrics(outcome, trainer.callback_metrics)
        outcome.steps = trainer.global_step
        outcome.step_seconds = clock.median_seconds
        outcome.diverged = not _finite(outcome.metrics, network)
        if watcher is not None:
            outcome.vitals = watcher.summary


def _reason(watcher: Any) -> str:
    reason = watcher.stop_reason if watcher is not None else None
    return reason.partition(":")[0] if reason else "the trainer was asked to stop"


def _note_metrics(outcome: Outcome, metrics: Mapping[str, torch.Tensor]) -> None:
    outcome.metrics |= {key: float(value) for key, value in metrics.items()}


def _finite(metrics: Mapping[str, float], network: nn.Module) -> bool:
    return all(map(math.isfinite, metrics.values())) and all(
        bool(local(parameter.detach()).isfinite().all()) for parameter in network.parameters()
    )
