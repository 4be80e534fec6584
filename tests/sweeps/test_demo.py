"""The demo finds what the textbooks say, and the table in the README is the one it prints."""

import csv
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from sweeps.app import CONF

ROOT = CONF.parent
COMMAND = [sys.executable, "-m", "sweeps", "--multirun", "experiment=demo", "sweep=demo", "logger=none"]
Cell = tuple[str, str, str]
Line = dict[str, str]
Words = tuple[str, ...]

HEAD = re.compile(r"(sigmoid|relu|leaky_relu) +(\S+) +(\S+) +[✗! ] ([a-z]+)(.*) [\d.]+$")
PLACE = re.compile(r" +at (\S+, step \d+)")

TRUTHS: Mapping[str, tuple[str, Callable[[Line], bool]]] = {
    "the gradient of sigmoids vanishes in the first layers": (
        r"sigmoid (xavier|he)_normal \w+",
        lambda line: (
            line["root_cause"] == "TV201"
            and line["verdict"] != "healthy"
            and re.search(r"\bhidden\.[01]\b", line["module"]) is not None
        ),
    ),
    "units that start as zeros stay alike": (
        r"\w+ zeros \w+",
        lambda line: (line["root_cause"], line["verdict"]) == ("TV301", "ill"),
    ),
    "rectifiers with their initialisation are healthy and learn": (
        r"(leaky_)?relu he_normal adam",
        lambda line: line["verdict"] == "healthy" and float(line["test/accuracy"]) > 0.9,
    ),
    "rectifiers with large weights are told that these are it": (
        r"(leaky_)?relu normal01 \w+",
        lambda line: line["root_cause"] == "TV308",
    ),
    "sigmoids with large weights saturate": (
        r"sigmoid normal01 \w+",
        lambda line: line["root_cause"] == "TV102",
    ),
}


# One test, because a fixture would be made once for each of the processes that run the tests.
@pytest.mark.slow
def test_the_demo_finds_what_the_textbooks_say_and_the_readme_shows_it(tmp_path: Path):
    lines = demo(tmp_path)

    assert len(lines) == 24
    assert untrue(lines) == []
    assert shown() == {cell: words(line) for cell, line in lines.items()}


def test_the_table_in_the_readme_can_be_read():
    assert len(shown()) == 24


def demo(folder: Path) -> dict[Cell, Line]:
    """The lines of the results.csv that the demo writes, by activation, initialisation and optimizer."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "diagnostics")])
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(COMMAND, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with (folder / "runs" / "demo" / "results.csv").open(newline="") as file:
        return {(line["activation"], line["init"], line["optimizer"]): line for line in csv.DictReader(file)}


def untrue(lines: Mapping[Cell, Line]) -> list[str]:
    """Each truth that a combination contradicts."""
    return [
        f"{' '.join(cell)}: {truth}, but it is {words(line)} with accuracy {line['test/accuracy']}"
        for truth, (combinations, holds) in TRUTHS.items()
        for cell, line in lines.items()
        if re.fullmatch(combinations, " ".join(cell)) and not holds(line)
    ]


def words(line: Line) -> Words:
    """Verdict, cause and place as the table words them."""
    if not line["root_cause"]:
        return (line["verdict"],)
    place = f"{line['module'].removeprefix('network.')}, step {line['onset']}"
    return line["verdict"], f"{line['root_cause']} {line['root_name']}", place


def shown() -> dict[Cell, Words]:
    """Verdict, cause and place of each combination in the README's table."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found: dict[Cell, Words] = {}
    cell: Cell | None = None
    for line in re.findall(r"```text\n(.*?)```", text, re.DOTALL)[1].splitlines():
        if head := HEAD.match(line):
            cell = (head[1], head[2], head[3])
            found[cell] = tuple(word for word in (head[4], head[5].strip(" ,")) if word)
        elif cell and (place := PLACE.match(line)):
            found[cell] = (*found[cell], place[1])
    return found
