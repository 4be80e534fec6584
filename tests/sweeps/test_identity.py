"""A run is its configuration: equal ones share a folder, others do not, and circumstances do not count."""

import pytest
from hydra import compose, initialize_config_dir

from sweeps.app import CONF, completed
from sweeps.identity import flattened, sweep_name
from sweeps.plan import Plan


def subdir(*overrides: str) -> str:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=list(overrides), return_hydra_config=True).hydra.sweep.subdir


def test_a_folder_is_named_after_choices_seed_and_configuration():
    assert subdir("activation=tanh", "optimizer=sgd", "seed=3").startswith("tanh-he_normal-sgd-seed3-")


@pytest.mark.parametrize(
    "circumstance",
    ["logger=csv", "threads=2", "resume=false", "sweep=other", "record=false", "hydra/launcher=joblib"],
)
def test_how_a_run_is_carried_out_does_not_make_it_another(circumstance: str):
    assert subdir(circumstance) == subdir()


@pytest.mark.parametrize(
    "override",
    ["model.depth=4", "seed=1", "init.gain=2", "diagnostics=off", "trainer.max_epochs=1", "data=wine"],
)
def test_any_other_key_makes_it_another(override: str):
    assert subdir(override) != subdir()


def test_saying_the_default_aloud_makes_no_difference():
    assert subdir("activation=relu", "seed=0") == subdir()


def test_leaves_are_keyed_as_on_the_command_line():
    assert flattened({"a": {"b": 1, "_target_": "x", "c": [2]}, "d": None}) == {
        "a.b": 1,
        "a.c": [2],
        "d": None,
    }


def test_the_demo_is_called_demo():
    assert sweep_name(["experiment=demo"]) == "demo"
    assert sweep_name(["experiment=demo", "logger=none", "hydra/launcher=basic"]) == "demo"


def test_a_changed_demo_is_called_otherwise():
    assert sweep_name(["experiment=demo", "seed=1"]).startswith("demo-")


def test_the_order_of_the_command_line_does_not_matter():
    assert sweep_name(["seed=0,1", "activation=relu,elu"]) == sweep_name(["activation=relu,elu", "seed=0,1"])
    assert sweep_name(["seed=0,1", "activation=relu,elu"]).startswith("activation_seed-")


def test_only_a_multirun_without_a_name_is_given_one():
    name = f"sweep={sweep_name(['seed=0,1'])}"

    assert completed(["seed=0,1", "-m"]) == ["--multirun", name, "seed=0,1"]
    assert completed(["-m", "seed=0,1", "sweep=mine"]) == ["--multirun", "seed=0,1", "sweep=mine"]
    assert completed(["seed=0"]) == ["seed=0"]


def planned(*overrides: str) -> Plan:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", overrides=["experiment=demo"], return_hydra_config=True)
    config.hydra.overrides.task = list(overrides)
    return Plan.of(config)


def test_the_demo_has_24_runs():
    assert planned().total == 24


def test_the_command_line_narrows_the_demo():
    plan = planned("activation=relu", "seed=0,1", "logger=csv,none")

    assert plan.total == 16
    assert plan.varied["seed"] == ["0", "1"]
    assert set(plan.varied) == {"seed", "init", "optimizer"}
