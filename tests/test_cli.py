"""Without this file the command line could promise what it does not do: every command, as a user runs it."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import torchvitals
from tests.support.runs import ill, look, vanishing
from torchvitals import catalogue, registry
from torchvitals.builtin.vanishing_gradient import VanishingGradient
from torchvitals.cli import main
from torchvitals.core.engine import ENGINE
from torchvitals.reporters.jsonl import JsonlReporter
from torchvitals.reporters.text import render

KNOWN = {**ENGINE, **registry.diagnostics()}


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    reporter = JsonlReporter(tmp_path / "run.jsonl")
    reporter.on_snapshot(look(0))
    reporter.on_incident(vanishing())
    reporter.on_close(ill())
    return tmp_path / "run.jsonl"


def test_list_has_code_name_and_summary_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(KNOWN)
    assert any(re.match(r"TV201  vanishing-gradient +Gradients that ", line) for line in lines)
    assert max(map(len, lines)) <= 80


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"torchvitals {torchvitals.__version__}\n"


@pytest.mark.parametrize("name", KNOWN)
def test_explain_loses_no_word_and_fits_a_terminal(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["explain", name])
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    doc = inspect.getdoc(KNOWN[name]) or ""
    assert " ".join(doc.split()) in " ".join(out.split())


def test_explain_leaves_lists_and_code_as_they_are() -> None:
    class Documented(VanishingGradient):
        """One line.

        A paragraph
        of two lines:

            code = 1
            more = 2
        """

    lines = list(catalogue.explain(Documented))
    assert lines[2:8] == ["One line.", "", "A paragraph of two lines:", "", "    code = 1", "    more = 2"]


@pytest.mark.parametrize("wanted", ["TV201", "tv201", "vanishing-gradient"])
def test_explain_takes_code_and_name(wanted: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", wanted]) == 0
    out = capsys.readouterr().out
    assert out.startswith("TV201 vanishing-gradient\n")
    assert "Thresholds:" in out
    assert "decades = 3.0  in [0.1, 300]\n      powers of ten lost" in out
    assert "code =" not in out


def test_explain_of_nothing_known_offers_close_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "vanishing-gradients"]) == 2
    assert "Did you mean 'vanishing-gradient'" in capsys.readouterr().err


def test_report_prints_what_the_run_ended_with(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(recording)]) == 0
    assert capsys.readouterr().out == render(ill()) + "\n"


def test_replay_judges_the_snapshots_again(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(recording), "--set", "vanishing-gradient.decades=2"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("torchvitals: healthy\n")
    assert ill().coverage.blind[0] in " ".join(out.split())
    assert "diagnostics found nothing (`torchvitals list` names them)" in out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param("decades=2", "Give NAME.FIELD=VALUE", id="no-name"),
        pytest.param("vanishing-gradient.decade=2", "Did you mean 'decades'", id="no-field"),
        pytest.param("vanishing-gradient.decades=many", "Give a value that Python reads", id="no-number"),
        pytest.param("vanishing.decades=2", "Did you mean 'vanishing-gradient'", id="no-diagnostic"),
    ],
)
def test_impossible_threshold_is_one_sentence(
    recording: Path, change: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(recording), "--set", change]) == 2
    assert message in capsys.readouterr().err


def test_missing_file_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path / "none.jsonl")]) == 2
    assert capsys.readouterr().err.startswith("torchvitals: [Errno 2] No such file")


def test_doctor_names_versions_and_plugins(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "\ntorch " in out
    assert "\ndiagnostics:\n" in out
    assert "DOES NOT LOAD" not in out


@pytest.mark.slow
def test_reader_that_goes_away_is_no_error() -> None:
    program = "from torchvitals.cli import main; raise SystemExit(main(['list']))"
    command = f'{sys.executable} -c "{program}" | head -n 0'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
