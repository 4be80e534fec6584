"""Without this file each test would compose the Hydra groups and quieten the trainer for itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from models.build import Built, build

CONF = Path(__file__).parents[2] / "conf"
GROUPS = ("model", "activation", "init", "optimizer", "scheduler", "data")
DEFAULTS = ("mlp", "relu", "he_normal", "adam", "constant", "wine")

Builder = Callable[..., Built]


def group(name: str, option: str) -> DictConfig:
    """One file of one group, as Hydra reads it."""
    config = OmegaConf.load(CONF / name / f"{option}.yaml")
    assert isinstance(config, DictConfig)
    OmegaConf.set_struct(config, True)
    return config


@pytest.fixture
def built() -> Builder:
    """`built(model="cnn", data="digits", seed=1, **{"model.depth": 10})`: group options, then single keys."""

    def make(*, seed: int = 0, **overrides: Any) -> Built:
        options = dict(zip(GROUPS, DEFAULTS, strict=True))
        options |= {key: value for key, value in overrides.items() if "." not in key}
        groups = {name: group(name, option) for name, option in options.items()}
        for key, value in overrides.items():
            if "." in key:
                name, field = key.split(".")
                groups[name][field] = value
        return build(groups.pop("model"), **groups, seed=seed)  # pyright: ignore[reportArgumentType] -- str keys

    return make


@pytest.fixture
def fit() -> Callable[..., pl.Trainer]:
    """Train without logs, bars and checkpoints; returns the trainer."""

    def run(made: Built, **options: Any) -> pl.Trainer:
        trainer = pl.Trainer(
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            **options,
        )
        trainer.fit(made.module, made.data)
        return trainer

    return run
