"""The public door stays as it is and opens fast; without this an optional package could become a must."""

import inspect
import subprocess
import sys

import pytest

import torchvitals

OPTIONAL = ("lightning", "pytorch_lightning", "wandb", "rich", "hydra", "transformers", "pandas")
DOOR = {
    "Coverage",
    "Diagnostic",
    "Finding",
    "Incident",
    "Remedy",
    "Reporter",
    "Schedule",
    "Severity",
    "Snapshot",
    "Summary",
    "TorchvitalsError",
    "TrainingStopped",
    "Vitals",
    "Window",
    "watch",
}


def loaded_after(statement: str) -> list[str]:
    """Optional packages that a fresh interpreter has loaded after the statement."""
    code = f"{statement}\nimport sys\nprint([m for m in {OPTIONAL!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return eval(done.stdout)


def test_the_names_that_were_promised_are_there():
    assert set(torchvitals.__all__) >= DOOR


def test_the_door_is_sorted_without_doubles_and_nothing_behind_it_is_missing():
    assert list(torchvitals.__all__) == sorted(set(torchvitals.__all__))
    assert [name for name in torchvitals.__all__ if not hasattr(torchvitals, name)] == []


@pytest.mark.parametrize("name", torchvitals.__all__)
def test_a_public_name_is_documented_in_its_own_words(name):
    doc = inspect.getdoc(getattr(torchvitals, name)) or ""
    assert doc
    assert not doc.startswith(f"{name}("), "this is what dataclass writes where nothing was written"


@pytest.mark.parametrize("name", [n for n in torchvitals.__all__ if inspect.isclass(getattr(torchvitals, n))])
def test_the_public_methods_of_a_public_class_are_documented_or_speak_for_themselves(name):
    own = {n: m for n, m in vars(getattr(torchvitals, name)).items() if not n.startswith("_")}
    functions = {n: m for n, m in own.items() if inspect.isfunction(m) and not inspect.getdoc(m)}
    obvious = {"add", "due", "to_dict"}
    assert set(functions) <= obvious


def test_nothing_private_is_public():
    assert [name for name in torchvitals.__all__ if name.startswith("_")] == []


def test_importing_torchvitals_loads_no_optional_package():
    assert loaded_after("import torchvitals") == []


def test_testing_a_plugin_needs_no_optional_package():
    assert loaded_after("import torchvitals.testing") == []


def test_the_proof_that_nothing_optional_is_loaded_can_fail():
    assert loaded_after("import torchvitals, rich") == ["rich"]


def test_the_version_is_that_of_the_installed_package():
    from importlib.metadata import version

    assert torchvitals.__version__ == version("torchvitals")
