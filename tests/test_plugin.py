"""A stranger's package is found through its entry points, judges, and reports; a broken one is named."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import torchvitals
from torchvitals import registry
from torchvitals.core.errors import NameTaken
from torchvitals.testing import check_diagnostic

PACKAGE = Path(__file__).parent / "plugin_package"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the plugin installed by pip, as a user would."""
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--disable-pip-version-check", "--target", target, PACKAGE], check=True)
    return target


@pytest.fixture
def plugin(site, monkeypatch):
    monkeypatch.syspath_prepend(site)
    yield registry.load("diagnostic", "quiet-input")
    for name in [name for name in sys.modules if name.partition(".")[0] == "beacon"]:
        del sys.modules[name]


def train(**options):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with torchvitals.watch(model, optimizer, **options, strict=True) as vitals:
        for _ in range(5):
            optimizer.zero_grad()
            loss = model(torch.zeros(8, 4)).square().mean()
            loss.backward()
            optimizer.step()
            vitals.step(loss)
    return vitals


@pytest.mark.slow
def test_an_installed_plugin_runs_by_default_and_reports(plugin):
    vitals = train(reporters=["beacon"])
    (incident,) = vitals.incidents
    assert (incident.code, incident.name, incident.where, incident.onset) == (
        "BC101",
        "quiet-input",
        ("input",),
        0,
    )
    assert vitals.verdict == "suspect"
    beacon: Any = vitals._monitor._judge.reporters[0]
    assert beacon.codes == ["BC101", "suspect"]


@pytest.mark.slow
def test_a_plugin_can_be_chosen_by_name_and_built_with_other_thresholds(plugin):
    assert train(reporters=[], diagnostics=["quiet-input"]).incidents
    assert not train(reporters=[], diagnostics=[plugin(looks=6)]).incidents


@pytest.mark.slow
def test_the_plugin_conforms(plugin):
    check_diagnostic(plugin)


def make_dist(folder, package, entry):
    info = folder / f"{package}-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[torchvitals.diagnostics]\n{entry}\n")


def test_two_owners_of_one_name_are_both_named(tmp_path, monkeypatch):
    make_dist(tmp_path, "usurper", "dead-units = os:getcwd")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        NameTaken, match=r"'dead-units' is claimed by (.*torchvitals.*usurper|.*usurper.*torchvitals)"
    ):
        torchvitals.watch(nn.Linear(1, 1), reporters=[])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        pytest.param("odd = os:no_such", r"'odd' of broken .*does not load", id="does-not-load"),
        pytest.param(
            "odd = os:getcwd", r"'odd' is .*not a subclass of torchvitals.Diagnostic", id="not-a-diagnostic"
        ),
    ],
)
def test_a_broken_plugin_is_named_with_its_package(tmp_path, monkeypatch, entry, message):
    make_dist(tmp_path, "broken", entry)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(registry.BrokenPlugin, match=message):
        torchvitals.watch(nn.Linear(1, 1), reporters=[], diagnostics=["odd"])
