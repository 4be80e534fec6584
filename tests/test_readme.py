"""The README is true: its code runs, prints what it says, and its commands exist."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from sweeps.identity import register_resolvers

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
PYTHON = [text for language, text in BLOCKS if language == "python"]
COMMANDS = [
    line.removeprefix("$ ")
    for language, text in BLOCKS
    if language == "console"
    for line in text.splitlines()
    if line.startswith("$ ")
]


def without_cost(report: str) -> list[str]:
    """Lines of a report; what it cost depends on the machine."""
    return [line.rstrip() for line in report.strip().splitlines() if not line.startswith("cost")]


def run(code: str, folder: Path) -> str:
    (folder / "block.py").write_text(code)
    command = [sys.executable, "-W", "error", "block.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_first_example_prints_what_the_readme_shows(tmp_path):
    shown = next(text for language, text in BLOCKS if language == "text")
    assert without_cost(run(PYTHON[0], tmp_path)) == without_cost(shown)


@pytest.mark.slow
@pytest.mark.parametrize("code", PYTHON[1:], ids=range(1, len(PYTHON)))
def test_every_other_example_runs(code, tmp_path):
    run(code, tmp_path)


@pytest.mark.slow
def test_the_commands_that_read_a_recording_work_on_the_one_that_the_readme_makes(tmp_path):
    run(next(code for code in PYTHON if "run.jsonl" in code), tmp_path)
    # What reads a capture is tried in tests/rerun, on captures of trainings that went wrong.
    told = [c for c in COMMANDS if c.startswith("torchvitals ") and "captures/" not in c]
    commands = [shlex.split(c) for c in told]
    assert commands
    for _, *arguments in commands:
        command = [sys.executable, "-m", "torchvitals", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert "torchvitals: healthy" in done.stdout


@pytest.mark.parametrize("command", [c for c in COMMANDS if "make " in c])
def test_make_knows_the_target(command):
    target = command.rpartition("make ")[2]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("python -m sweeps ")])
def test_every_sweep_composes(command):
    register_resolvers()
    words = [word for word in shlex.split(command)[3:] if not word.startswith(("--", "hydra/"))]
    pairs = [word.split("=", 1) for word in words]
    crossed = [[f"{key}={value}" for value in values.split(",")] for key, values in pairs]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        for overrides in ([choices[i % len(choices)] for choices in crossed] for i in range(4)):
            compose("config", overrides=overrides)


def test_every_file_that_is_linked_exists():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_page_of_diagnostics_is_what_make_docs_writes():
    command = [sys.executable, "-m", "torchvitals", "explain", "all"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert (ROOT / "docs" / "diagnostics.md").read_text() == done.stdout
