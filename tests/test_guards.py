"""Every guard that `docs/guards.md` promises has its test."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINES = (ROOT / "docs" / "guards.md").read_text().splitlines()
GUARDS = [line for line in LINES if line.startswith("| ") and not line.startswith("| how")]
TESTS = sorted(set(re.findall(r"`(tests/[^`]+)`", "\n".join(GUARDS))))


def test_there_are_guards_and_each_names_a_test():
    assert len(GUARDS) > 30
    assert all("`tests/" in line for line in GUARDS)


@pytest.mark.parametrize("name", TESTS)
def test_the_test_of_a_guard_exists(name):
    path, _, function = name.partition("::")
    tree = ast.parse((ROOT / path).read_text())
    found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert not function or function in found
