"""Reporters of a run that goes on from a checkpoint."""

import io
import json

import pytest

from tests.support.runs import glance, healthy, look, vanishing
from torchvitals.core.finding import Severity
from torchvitals.reporters import ConsoleReporter, JsonlReporter
from torchvitals.reporters.recording import read
from torchvitals.reporters.wandb import WandbReporter

WARNING = vanishing(severity=Severity.WARNING)


def test_the_terminal_knows_what_was_worse_before():
    stream = io.StringIO()
    console = ConsoleReporter(stream)
    console.on_resume(30, [WARNING])
    assert stream.getvalue() == ""
    console.on_incident(vanishing())
    assert "torchvitals: worse CRITICAL" in stream.getvalue()


@pytest.mark.parametrize("known", [True, False])
def test_an_alert_that_went_out_before_is_not_repeated(known, monkeypatch):
    sent = []
    monkeypatch.setattr(WandbReporter, "_alert", lambda _, incident: sent.append(incident))
    reporter = WandbReporter()
    reporter.on_resume(30, [WARNING] if known else [])
    reporter.on_incident(vanishing())
    assert len(sent) == (not known)
    reporter.on_incident(vanishing(resolved=40))
    reporter.on_incident(vanishing())
    assert len(sent) == 1 + (not known)


def recorded(path, steps, *, closed=True):
    reporter = JsonlReporter(path, every=1)
    for step in steps:
        reporter.on_snapshot(look(step) if step % 4 == 0 else glance(step))
    reporter.on_incident(WARNING)
    reporter.on_close(healthy())
    if not closed:
        path.write_text(path.read_text().rpartition('{"type":"close"')[0])


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("ends", [10, 25])
def test_a_recording_goes_on_at_the_step_of_the_checkpoint(tmp_path, closed, ends):
    path = tmp_path / "run.jsonl"
    recorded(path, range(ends), closed=closed)
    reporter = JsonlReporter(path, every=1)
    reporter.on_resume(10, [WARNING])
    for step in range(10, 20):
        reporter.on_snapshot(glance(step))
    reporter.on_close(healthy())
    recording = read(path)
    assert [s.step for s in recording.snapshots] == list(range(20))
    assert len(recording.incidents) == (ends == 10)
    assert path.read_text().count('"type":"header"') == path.read_text().count('"type":"close"') == 1


@pytest.mark.parametrize(
    "text", ["", "no recording\n", '{"type":"header","format":99}\n', '{"a":1}\n', "[1]\n"]
)
def test_what_is_no_recording_is_replaced_as_ever(tmp_path, text):
    path = tmp_path / "run.jsonl"
    path.write_text(text)
    reporter = JsonlReporter(path, every=1)
    reporter.on_resume(10, [])
    reporter.on_snapshot(glance(10))
    reporter.on_close(healthy())
    assert [s.step for s in read(path).snapshots] == [10]


def test_a_missing_recording_begins_at_the_checkpoint(tmp_path):
    reporter = JsonlReporter(tmp_path / "run.jsonl", every=1)
    reporter.on_resume(10, [])
    reporter.on_snapshot(glance(10))
    reporter.on_close(healthy())
    first, *_ = (tmp_path / "run.jsonl").read_text().splitlines()
    assert json.loads(first)["type"] == "header"
