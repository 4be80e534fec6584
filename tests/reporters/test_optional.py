"""Without this file an optional package could become a required one unnoticed."""

import subprocess
import sys

import pytest

BLOCKER = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
sys.path[:0] = [".", "diagnostics"]
"""


def run(code: str, *blocked: str) -> str:
    """What the code prints in a fresh process where those packages do not exist."""
    program = BLOCKER.format(blocked=set(blocked)) + code
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_reporters_imports_no_optional_package() -> None:
    optional = {"rich", "wandb", "lightning", "pytorch_lightning"}
    code = f"import torchvitals.reporters; print({optional!r} & set(sys.modules))"
    assert run(code) == "set()\n"


def test_blocker_blocks() -> None:
    with pytest.raises(AssertionError, match="No module named 'rich'"):
        run("import rich", "rich")


def test_console_without_rich_prints_plain_text() -> None:
    code = """
from torchvitals.reporters import ConsoleReporter
from tests.support.runs import vanishing
sys.stdout.isatty = lambda: True
ConsoleReporter(sys.stdout).on_incident(vanishing())
"""
    assert run(code, "rich").startswith("torchvitals: CRITICAL TV201 vanishing-gradient")


def test_wandb_reporter_without_wandb_says_what_to_install() -> None:
    code = """
from torchvitals.core.errors import MissingExtra
from torchvitals.reporters import WandbReporter
try:
    WandbReporter()
except MissingExtra as error:
    print(error)
"""
    assert run(code, "wandb") == 'wandb is not installed. Try: pip install "torchvitals[wandb]"\n'
