"""Without this file a recording could be unreadable when it is needed: round trips, kills, broken files."""

import json
import math
import re
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.runs import glance, ill, look, loss_spike, table, vanishing
from torchvitals.core.errors import FieldError
from torchvitals.core.finding import Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.tables import Table
from torchvitals.reporters.jsonl import JsonlReporter
from torchvitals.reporters.recording import BadRecording, read
from torchvitals.reporters.text import render


def same(ours: Snapshot, theirs: Snapshot) -> bool:
    """Equality in which nan is nan."""
    return repr(ours.to_dict()) == repr(theirs.to_dict())


def recorded(path: Path, *snapshots: Snapshot, close: bool = True) -> Path:
    reporter = JsonlReporter(path, every=1)
    for snapshot in snapshots:
        reporter.on_snapshot(snapshot)
    if close:
        reporter.on_close(ill())
    return path


def standard(line: str):
    def refuse(token: str) -> None:
        raise AssertionError(f"{token} is not JSON")

    return json.loads(line, parse_constant=refuse)


def test_what_was_recorded_is_read_back(tmp_path: Path) -> None:
    snapshots = (look(0), look(1, math.nan), glance(2, math.inf), glance(3, -math.inf))
    reporter = JsonlReporter(tmp_path / "run.jsonl", every=1)
    for snapshot in snapshots:
        reporter.on_snapshot(snapshot)
    reporter.on_incident(vanishing())
    reporter.on_close(ill())
    recording = read(tmp_path / "run.jsonl")
    assert all(map(same, recording.snapshots, snapshots))
    assert recording.incidents == (vanishing(),)
    assert recording.summary == recording.so_far() == ill()


def test_recording_from_before_the_start_was_told_is_read(tmp_path: Path) -> None:
    path = recorded(tmp_path / "run.jsonl", look(0))
    *before, close = path.read_text().splitlines()
    data = json.loads(close)
    del data["start"]
    path.write_text("\n".join([*before, json.dumps(data), ""]))
    assert read(path).summary == replace(ill(), start=None)


def test_lines_are_standard_json_with_a_header_first(tmp_path: Path) -> None:
    huge = table("gradient", {"w": 1.0}, op=np.array(["Linear"]), abs_max=np.array([np.inf]))
    path = recorded(tmp_path / "run.jsonl", look(0, math.nan), Snapshot(1, {}, {}, {"gradient": huge}))
    lines = [standard(line) for line in path.read_text().splitlines()]
    assert lines[0].keys() == {"type", "format", "torchvitals", "torch", "numpy", "python", "every"}
    assert [line["type"] for line in lines] == ["header", "snapshot", "snapshot", "close"]
    assert read(path).snapshots[1]["gradient"] == huge


FLOATS = st.floats(allow_nan=True, allow_infinity=True)


@given(
    scalars=st.dictionaries(st.text(), FLOATS, max_size=4),
    labels=st.dictionaries(st.text(), st.text(), max_size=3),
    norms=st.dictionaries(st.text(), st.floats(0, 1e30), max_size=5),
)
def test_any_snapshot_survives(scalars, labels, norms) -> None:
    fired = tuple(np.arange(len(norms)) % 2 == 0 for _ in norms)
    silence = Table("silence", tuple(norms), {"positions": np.ones(len(norms))}, {"fired": fired})
    snapshot = Snapshot(7, scalars, labels, {"gradient": table("gradient", norms), "silence": silence})
    with tempfile.TemporaryDirectory() as folder:
        (back,) = read(recorded(Path(folder) / "run.jsonl", snapshot)).snapshots
    assert same(back, snapshot)


@given(cut=st.integers(min_value=1))
def test_file_cut_anywhere_loses_at_most_the_line_that_was_cut(cut: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = recorded(Path(folder) / "run.jsonl", look(0), look(1))
        whole = path.read_bytes()
        header = whole.index(b"\n") + 1
        kept = whole[: header + cut % (len(whole) - header)]
        path.write_bytes(kept)
        recording = read(path)
    lines = kept.count(b"\n") - 1
    assert lines <= len(recording.snapshots) + (recording.summary is not None) <= lines + 1


def test_killed_run_still_has_a_report(tmp_path: Path) -> None:
    reporter = JsonlReporter(tmp_path / "run.jsonl")
    reporter.on_snapshot(look(0))
    reporter.on_incident(vanishing(severity=Severity.WARNING))
    reporter.on_incident(vanishing())
    reporter.on_incident(loss_spike())
    summary = read(tmp_path / "run.jsonl").so_far()
    reporter.on_close(ill())
    assert summary.verdict == "ill"
    assert summary.incidents == (vanishing(), loss_spike())
    assert summary.coverage.looks == 1
    assert "ends at step 0, before the run was closed" in summary.coverage.blind[0]
    assert "cost      not known: it is recorded when the run is closed" in render(summary)


def test_light_snapshots_are_thinned_and_the_first_bad_loss_is_kept(tmp_path: Path) -> None:
    reporter = JsonlReporter(tmp_path / "run.jsonl", every=10)
    for step in range(40):
        reporter.on_snapshot(glance(step, math.nan if step >= 33 else 1.0))
    reporter.on_snapshot(look(40))
    reporter.on_close(ill())
    assert [s.step for s in read(tmp_path / "run.jsonl").snapshots] == [0, 10, 20, 30, 33, 40]


def test_second_training_goes_on_in_the_same_file(tmp_path: Path) -> None:
    reporter = JsonlReporter(tmp_path / "run.jsonl")
    for step in (0, 1):
        reporter.on_snapshot(look(step))
        reporter.on_close(ill())
    assert len(read(tmp_path / "run.jsonl").snapshots) == 2


def test_nothing_is_touched_before_the_first_event(tmp_path: Path) -> None:
    JsonlReporter(tmp_path / "new" / "run.jsonl")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("", "line 1: empty: no run was recorded", id="empty"),
        pytest.param("hello\nworld\n", "line 1: not JSON", id="text"),
        pytest.param('{"type":"snapshot"}\n', "line 1: not a torchvitals recording", id="no-header"),
        pytest.param(
            '{"type":"header","format":9,"torchvitals":"7.0"}\n', "format 9 of torchvitals 7.0", id="newer"
        ),
        pytest.param("HEADER[1]\n", "line 2: not a JSON object", id="list"),
        pytest.param('HEADER{"type":"poem"}\n', "line 2: unknown type 'poem'; known: header,", id="type"),
        pytest.param('HEADER{"type":"snapshot","step":1}\n', "line 2: not a snapshot: KeyError", id="fields"),
        pytest.param('HEADER{"type":\nHEADER', "line 2: not JSON", id="cut-in-the-middle"),
    ],
)
def test_broken_file_is_an_error_with_file_and_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(content.replace("HEADER", '{"type":"header","format":1,"torchvitals":"0.1"}\n'))
    with pytest.raises(BadRecording, match=re.escape(str(path)) + ", .*" + re.escape(message)):
        read(path)


def test_folder_as_path_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(FieldError, match="a file, this is a folder"):
        JsonlReporter(tmp_path)


def test_file_as_folder_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(FieldError, match=r"JsonlReporter\.path=.*Give a file in a folder, .*runs is a file"):
        JsonlReporter(tmp_path / "runs" / "one" / "run.jsonl")


@pytest.mark.parametrize(
    ("file", "message"),
    [
        pytest.param("new/run.jsonl", "a file in a folder that may be written to", id="folder"),
        pytest.param("old.jsonl", "this one is read-only", id="file"),
    ],
)
def test_place_that_is_read_only_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, message: str
) -> None:
    (tmp_path / "old.jsonl").write_text("")
    monkeypatch.setattr("os.access", lambda *_: False)  # the superuser may write whatever a mode says
    with pytest.raises(FieldError, match=message):
        JsonlReporter(tmp_path / file)
    assert [path.name for path in tmp_path.iterdir()] == ["old.jsonl"]


def test_every_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FieldError, match=r"JsonlReporter\.every=0"):
        JsonlReporter(tmp_path / "run.jsonl", every=0)
