"""The figures of the scorecard against oracles; without it a wrong rate would be published as truth."""

import json
import math
from typing import Any

import pytest

from sweeps.scorecard import __main__ as scorecard
from sweeps.scorecard.betrayal import betrayal
from sweeps.scorecard.figures import Rate, before_betrayal, scores
from sweeps.scorecard.outcome import Alert
from sweeps.scorecard.pages import page, tables
from sweeps.scorecard.summary import summarised
from sweeps.scorecard.trial import Case, _names, _places, try_case
from sweeps.situations.situation import Level, Truth
from sweeps.situations.validation import sign_flip


def row(**given: Any) -> dict[str, Any]:
    """A fault that was found in every respect, but for what is given."""
    usual = {
        "judge": "torchvitals",
        "name": "a",
        "level": "blatant",
        "seed": 0,
        "sort": "fault",
        "split": "test",
        "family": "x",
        "truth": ["TV201"],
        "alarm": True,
        "alerts": 1,
        "right_alerts": 1,
        "cause": True,
        "module": True,
        "latency": 2,
        "betrayed": 10,
        "said": ["TV201 vanishing-gradient"],
        "root": "TV201 vanishing-gradient",
        "where": ["hidden.0"],
        "error": "",
    }
    return {**usual, **given}


MISSED = {
    "alarm": False,
    "alerts": 0,
    "right_alerts": 0,
    "cause": False,
    "module": False,
    "latency": None,
    "said": [],
    "root": "",
}
QUIET = {**MISSED, "sort": "control", "truth": [], "module": None, "betrayed": None}


def test_rates_count_every_run_and_a_miss_is_wrong_in_cause_and_module():
    rows = [
        row(),
        row(name="b", **MISSED),
        row(name="c", cause=False, right_alerts=0),
        row(name="d", **QUIET),
    ]
    found = scores(rows)
    assert found["recall"] == pytest.approx(2 / 3)
    assert found["cause_top1"] == pytest.approx(1 / 3)
    assert found["module_top1"] == pytest.approx(2 / 3)
    assert found["alert_precision"] == pytest.approx(1 / 2)
    assert (found["false_alarm_rate"], found["n_faults"], found["n_controls"]) == (0.0, 3, 1)
    assert (found["median_latency_steps"], found["median_betrayal_steps"]) == (2.0, 10.0)


def test_an_alarm_on_a_control_counts_against_the_precision():
    rows = [row(), row(name="d", **{**QUIET, "alarm": True, "alerts": 2})]
    found = scores(rows)
    assert (found["false_alarm_rate"], found["alert_precision"]) == (1.0, pytest.approx(1 / 3))


def test_what_was_never_seen_has_no_rate_instead_of_one_of_nothing():
    found = scores([row(name="d", **QUIET)])
    assert (found["recall"], found["alert_precision"]) == (None, None)
    assert found["intervals"]["recall"] == {"wilson": None, "bootstrap": None}


def test_wilson_takes_situations_and_not_runs():
    """By hand for 8 of 10 at 95 %: centre (0.8 + 0.192) / 1.384, half width 0.2267."""
    rows = [row(name=str(i), seed=seed, alarm=i < 8) for i in range(10) for seed in range(5)]
    assert Rate(rows, "alarm").intervals()["wilson"] == pytest.approx([0.4902, 0.9433], abs=1e-4)


def test_the_bootstrap_draws_whole_situations():
    """Two situations, one always right and one never: half of the draws mix them, a quarter each do not."""
    rows = [row(name="ab"[seed % 2], seed=seed, alarm=seed % 2 == 0) for seed in range(40)]
    assert Rate(rows, "alarm").intervals()["bootstrap"] == [0.0, 1.0]


def test_an_alarm_counts_as_early_if_the_loss_never_betrays_the_fault():
    assert before_betrayal([row(betrayed=None), row(latency=11), row(latency=10), row(**MISSED)]) == 2 / 3


def falling(steps: int = 60) -> list[float]:
    return [math.exp(-i / 10) for i in range(steps)]


def test_a_loss_that_follows_its_twin_betrays_nothing():
    assert betrayal(falling(), falling()) is None


def test_a_plateau_betrays_itself_when_the_twin_has_left_it_behind():
    """A quarter of the twin's improvement is gained where exp(-t/10) = 0.75, about step 3; the median of the
    ten steps from t on is that of step t + 4.5.
    """
    assert betrayal([1.0] * 60, falling()) == 0
    late = [*falling()[:20], *[falling()[20] + 0.5] * 40]
    assert betrayal(late, falling()) == pytest.approx(15, abs=1)


def test_a_loss_that_is_no_number_betrays_itself_at_once():
    assert betrayal([*falling()[:7], math.nan, 0.0, 0.0], falling()[:10]) == 7
    assert betrayal([math.inf] * 20, falling(20), since=3) == 3


@pytest.mark.parametrize(
    ("where", "right"),
    [
        ("hidden.3.linear.weight", True),
        ("hidden.3", True),
        ("hidden.3.act#2", True),
        ("hidden.31", False),
        ("head", False),
    ],
)
def test_a_module_is_named_by_itself_by_what_is_inside_and_by_its_parameters(where, right):
    alert = Alert(step=0, rule="r", codes=("TV101",), where=(where,))
    assert _places(alert, Truth(codes=frozenset({"TV101"}), where=("hidden.3",))) is right


def test_the_words_of_a_cause_count_where_the_truth_asks_for_them():
    truth = Truth(codes=frozenset({"TV303"}), causes=("learning rate",))
    for cause, right in (("Learning rate too small", True), ("eps", False)):
        assert _names(Alert(step=0, rule="r", codes=("TV303",), cause=cause), truth) is right
    assert not _names(Alert(step=0, rule="r", codes=("TV303",)), None)


def test_sign_flips_are_counted_exactly():
    assert sign_flip([1.0] * 8) == 1 / 256
    assert sign_flip([math.inf, 1e30, *[0.1] * 6]) == 1 / 256
    assert sign_flip([0.0] * 8) == 1.0
    assert sign_flip([3.0, 1.0, -2.0]) == 3 / 8  # of the eight sums 6, 4, 2, 0, 0, -2, -4, -6


def test_the_card_lists_every_run_that_was_judged_wrongly_and_prints(tmp_path):
    rows = [
        row(),
        row(name="b", **MISSED),
        row(name="c", module=False),
        row(name="d", cause=False, right_alerts=0),
        row(name="e", **{**QUIET, "alarm": True, "alerts": 1, "said": ["TV201 vanishing-gradient"]}),
        row(name="f", **QUIET),
        row(split="tune"),
        row(split="tune", name="g", **MISSED),
        row(judge="torchvitals without TV201", **MISSED),
    ]
    card = summarised(rows, quick=False, seconds=60.0)
    assert [(m["name"], m["what"]) for m in card["misses"]["test"]] == [
        ("", "not found"),
        ("", "another module named"),
        ("", "another cause named"),
        ("", "false alarm (control)"),
    ]
    assert [(m["name"], m["what"]) for m in card["misses"]["tune"]] == [("g", "not found")]
    assert [(a["code"], a["recall"]) for a in card["ablation"]] == [("TV201", pytest.approx(-1 / 4))]
    (told,) = [d for d in card["diagnostics"] if d["code"] == "TV201"]
    assert (told["alerts"], told["precision"], told["recall"]) == (5, 4 / 5, 4 / 6)
    assert not any(t["met"] for t in card["targets"] if t["name"] in ("recall", "false_alarm_rate"))
    fields = {"recall", "false_alarm_rate", "cause_top1", "module_top1", "alert_precision"}
    fields |= {"median_latency_steps", "n_faults", "n_controls", "split"}
    assert all(fields <= set(score) for score in card["scores"])
    assert len(list(tables(card))) == 5
    text = page(card)
    assert "| not found | TV201 |" in text
    assert "| g blatant #0 | not found | TV201 |" in text
    assert "b blatant" not in text, "a blind situation is told"
    assert text.index("## Test split") < text.index("## Tune split")
    assert "{" not in text


def test_a_real_case_is_judged_and_marked():
    rows = try_case(Case("zero-init-relu", Level.BLATANT, 0), ())
    ours = rows[0]
    assert (ours["judge"], ours["alarm"], ours["cause"], ours["root"][:5]) == (
        "torchvitals",
        True,
        True,
        "TV301",
    )
    assert ours["latency"] <= 1
    less = next(r for r in rows if r["judge"] == "torchvitals without TV301")
    assert less["root"][:5] != "TV301"


def test_a_clean_twin_is_healthy():
    (ours, *_) = try_case(Case("zero-init-relu", None, 3), ())
    assert (ours["sort"], ours["alarm"]) == ("twin", False)


def test_our_judgements_are_made_again_and_those_of_the_others_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scorecard, "cases", lambda **_: [Case("zero-init-relu", Level.BLATANT, 0)])
    rows = [row(judge="NaN only", name="zero-init-relu"), row(name="zero-init-relu", split="tune")]
    (tmp_path / "runs" / "scorecard").mkdir(parents=True)
    kept = tmp_path / "runs" / "scorecard" / "quick.jsonl"
    kept.write_text("".join(json.dumps(r) + "\n" for r in rows))
    assert scorecard.main(["--quick", "--ours", "--jobs", "1"]) == 0
    now = [json.loads(line) for line in kept.read_text().splitlines()]
    assert now[0] == rows[0]
    assert [(r["judge"], r["root"][:5]) for r in now if r["judge"] == "torchvitals"] == [
        ("torchvitals", "TV301")
    ]
    page = (tmp_path / "runs" / "scorecard" / "docs" / "scorecard.md").read_text()
    assert "what the other judges said is from the run before" in page
