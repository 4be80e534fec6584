"""Every option under conf/ composes, and what it describes can be built."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import nn

from models.build import build
from sweeps.app import CONF
from sweeps.training import PARTS
from torchvitals.adapters.lightning import VitalsCallback

DATA = {"cnn": "digits", "resnet": "digits"}
DOWNLOADED = {"mnist", "fashion_mnist", "cifar10"}


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=list(overrides))


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def built(config: DictConfig) -> Any:
    return build(**{part: config[part] for part in PARTS}, seed=config.seed)


BUILT = [(group, option) for group in PARTS for option in options(group) if option not in DOWNLOADED]


@pytest.mark.parametrize(("group", "option"), [pytest.param(g, o, id=f"{g}={o}") for g, o in BUILT])
def test_what_is_trained_is_built(group: str, option: str):
    # Token ids need a network that reads them.
    reader = ["model=rnn"] if option in {"copy", "modular"} else []

    module, data = built(composed(f"{group}={option}", "data.max_samples=100", *reader))

    assert isinstance(module, nn.Module)
    assert data.train_size > 0


@pytest.mark.parametrize("option", sorted(DOWNLOADED))
def test_data_with_a_download_composes(option: str):
    assert instantiate(composed(f"data={option}").data).func is not None


@pytest.mark.parametrize("option", options("trainer"))
def test_a_trainer_is_built(option: str, tmp_path: Path):
    make = instantiate(composed(f"trainer={option}").trainer, _partial_=True)

    assert isinstance(make(logger=False, default_root_dir=tmp_path), pl.Trainer)


@pytest.mark.parametrize("option", [o for o in options("diagnostics") if o != "off"])
def test_a_watcher_is_built(option: str):
    assert isinstance(
        instantiate(composed(f"diagnostics={option}").diagnostics, reporters=()), VitalsCallback
    )


def test_nobody_watches_when_diagnostics_are_off():
    assert instantiate(composed("diagnostics=off").diagnostics, reporters=()) is None


@pytest.mark.parametrize("option", options("logger"))
def test_a_logger_composes(option: str):
    assert callable(instantiate(composed(f"logger={option}").logger))


@pytest.mark.parametrize("option", options("experiment"))
def test_an_experiment_is_built(option: str):
    module, _ = built(composed(f"experiment={option}"))

    assert sum(parameter.numel() for parameter in module.parameters()) > 0


def test_building_leaves_the_global_generator_alone():
    before = torch.get_rng_state()

    built(composed())

    assert torch.equal(before, torch.get_rng_state())
