"""What is written is what is read; without this a replay could judge another run than the one that was."""

import json
import math

import pytest
from hypothesis import given, settings

from tests.core.strategies import incidents, snapshots, summaries
from torchvitals.core.finding import Incident, Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.summary import Summary


def through_json(data):
    return json.loads(json.dumps(data, allow_nan=False))


@given(snapshots)
def test_a_snapshot_survives_json_unchanged(snapshot):
    back = Snapshot.from_dict(through_json(snapshot.to_dict()))
    # As texts, since a nan is not equal to itself.
    assert repr(dict(back.scalars)) == repr(dict(snapshot.scalars))
    assert (back.step, back.labels, back.tables) == (snapshot.step, snapshot.labels, snapshot.tables)
    assert (back.due, back.judgeable) == (snapshot.due, snapshot.judgeable)


@given(incidents)
def test_an_incident_survives_json_unchanged(incident):
    assert Incident.from_dict(through_json(incident.to_dict())) == incident


@given(summaries)
@settings(max_examples=30)
def test_a_summary_survives_json_unchanged(summary):
    assert Summary.from_dict(through_json(summary.to_dict())) == summary


@pytest.mark.parametrize(
    "loss", [math.nan, math.inf, -math.inf, 0.1 + 0.2, 5e-324, 1.7976931348623157e308], ids=str
)
def test_a_loss_survives_json_bit_for_bit(loss):
    back = Snapshot.from_dict(through_json(Snapshot(3, {"loss": loss}).to_dict()))
    assert repr(back.loss) == repr(loss)
    assert back.nonfinite is not math.isfinite(loss)


def test_a_nan_in_the_evidence_stays_a_number_and_the_word_stays_a_word():
    evidence = {"number": math.nan, "word": "nan"}
    back = through_json(incident(evidence).to_dict())
    read = Incident.from_dict(back).evidence
    assert read["word"] == "nan"
    assert isinstance(read["number"], float)


def incident(evidence) -> Incident:
    return Incident(
        code="TV201",
        name="vanishing-gradient",
        severity=Severity.INFO,
        where=(),
        onset=0,
        last_seen=0,
        message="m",
        cause="c",
        evidence=evidence,
    )
