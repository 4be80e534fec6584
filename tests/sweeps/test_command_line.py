"""A mistake on the command line ends in one sentence with field, value and choices, and in exit status 1."""

import pytest

from tests.sweeps.conftest import Application

BEFORE_ANY_RUN = {
    "an unknown activation": (
        ["activation=reluu"],
        "Error: activation: 'reluu' is unknown. Did you mean 'relu'? Choices: elu, gelu, identity,",
    ),
    "an unknown activation in a sweep": (
        ["--multirun", "activation=relu,foo"],
        "Error: activation: 'foo' is unknown. Choices: elu, gelu,",
    ),
    "an unknown launcher": (
        ["hydra/launcher=foo"],
        "Error: hydra/launcher: 'foo' is unknown. Choices: basic,",
    ),
    "a misspelt group": (
        ["activaton=relu"],
        "Error: key: 'activaton' is unknown. Did you mean 'activation'? Choices:",
    ),
    "a misspelt key": (
        ["optimizer.lrr=1"],
        "Error: key: 'optimizer.lrr' is unknown. Choices: betas, eps, lr,",
    ),
    "a key of a group without keys": (["logger.mode=online"], "Error: key: 'logger.mode' is not allowed."),
    "a word that is no override": (["relu"], "Error: Error parsing override 'relu'"),
    "a sweep without --multirun": (["seed=0,1"], "add --multirun to your command line"),
}
IN_A_RUN = {
    "a negative depth": (
        ["model.depth=-1"],
        "model.depth: -1 is not allowed. Choices: an integer of at least",
    ),
    "a sigma of 0": (
        ["init=small_normal", "init.std=0"],
        "init.std: 0 is not allowed. Choices: a finite number above 0.",
    ),
    "a negative seed": (["seed=-1"], "seed: -1 is not allowed. Choices: an integer of at least 0."),
    "a word for a rate": (
        ["optimizer.lr=fast"],
        "optimizer.lr: 'fast' is not allowed. Choices: a number above 0.",
    ),
    "a negative rate": (["optimizer.lr=-1"], "optimizer.lr: -1 is not allowed. Choices: a number above 0."),
    "too few samples": (["data.max_samples=1"], "data.max_samples: 1 is not allowed. Choices: an integer"),
    "a network that cannot read the data": (
        ["model=cnn", "data=wine"],
        "model=cnn cannot read data=wine (13 features): it needs images (channels, height, width)",
    ),
    "a diagnostic that is no list": (["diagnostics.only=dead-units"], "a list, such as ['dead-units']"),
    "no threads": (["threads=0"], "threads: 0 is not allowed. Choices: an integer of at least 1."),
    "an unknown diagnostic": (
        ["diagnostics.only=[dead-unit]"],
        "Unknown diagnostic 'dead-unit'. Did you mean",
    ),
    "an unknown severity": (
        ["diagnostics.stop_on=fatal"],
        "stop_on='fatal' is not possible. Give None, or one of",
    ),
    "a bad schedule": (["diagnostics.schedule.every=0"], "Schedule.every=0 is not possible."),
    "an unknown mode": (["logger=wandb", "logger.mode=on"], "mode='on' is not possible. Give one of online,"),
    "a trainer's keyword": (["+trainer.max_epoch=1"], "unexpected keyword argument 'max_epoch'"),
}


@pytest.mark.parametrize(("arguments", "sentence"), BEFORE_ANY_RUN.values(), ids=BEFORE_ANY_RUN.keys())
def test_a_mistake_is_told_before_any_run(application: Application, arguments: list[str], sentence: str):
    result = application(*arguments, few=False)

    assert sentence in result.complaint
    assert "\n" not in result.complaint
    assert (result.status, result.rows, result.err) == (1, [], "")


@pytest.mark.parametrize(("arguments", "sentence"), IN_A_RUN.values(), ids=IN_A_RUN.keys())
def test_a_value_that_cannot_be_is_told_and_leaves_a_failed_row(
    application: Application, arguments: list[str], sentence: str
):
    result = application(*arguments)

    [row] = result.rows
    assert result.complaint.startswith(f"Error: {row.error}\nTraceback: runs/single/")
    assert sentence in (row.error or "")
    assert (result.status, row.status, result.err) == (1, "failed", "")


def test_the_traceback_lies_beside_the_row(application: Application):
    result = application("model.depth=-1")

    place = result.complaint.rpartition("Traceback: ")[2]
    assert place.startswith("runs/single/")
    assert "Traceback (most recent call last)" in (result.folder.parents[1] / place).read_text()


def test_the_whole_traceback_can_be_asked_for(application: Application, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")

    with pytest.raises(Exception, match="Could not find 'activation/reluu'"):
        application("activation=reluu")
