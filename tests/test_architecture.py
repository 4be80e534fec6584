"""What is built and installed is the library and nothing else, and there is one way to import it."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_diagnostics_is_a_source_root_and_not_a_package():
    assert not (ROOT / "diagnostics" / "__init__.py").exists()
    assert [p.name for p in (ROOT / "diagnostics").iterdir() if p.is_dir()] == ["torchvitals"]


@pytest.mark.slow
def test_the_wheel_holds_the_library_its_types_and_its_entry_points_alone(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--disable-pip-version-check", "-w", tmp_path, ROOT], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
        (entry_points,) = (n for n in names if n.endswith("entry_points.txt"))
        (metadata,) = (n for n in names if n.endswith("METADATA"))
        points, about = content.read(entry_points).decode(), content.read(metadata).decode()
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {"torchvitals"}
    assert "torchvitals/py.typed" in names
    assert "vanishing-gradient = torchvitals.builtin.vanishing_gradient:VanishingGradient" in points
    required = [line.split()[1] for line in about.splitlines() if line.startswith("Requires-Dist")]
    optional = [line.split()[1] for line in about.splitlines() if "extra ==" in line]
    assert {r.partition(">")[0] for r in set(required) - set(optional)} == {"numpy", "torch"}


@pytest.mark.slow
def test_the_library_works_with_torch_and_numpy_alone(tmp_path):
    """With all else hidden the loop adapter trains and reports, and what is missing says what to do."""
    code = """
import importlib.abc, sys

class Hide(importlib.abc.MetaPathFinder):
    hidden = {"pytorch_lightning", "lightning", "wandb", "rich", "hydra", "torchmetrics"}
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.hidden:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Hide())
import torch, torchvitals
model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
with torchvitals.watch(model, optimizer) as vitals:
    loss = model(torch.ones(4, 2)).sum()
    loss.backward(); optimizer.step(); vitals.step(loss)
print(vitals.report())
try:
    import torchvitals.adapters.lightning
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert "torchvitals: healthy" in done.stdout
    assert 'pip install "torchvitals[lightning]"' in done.stdout
