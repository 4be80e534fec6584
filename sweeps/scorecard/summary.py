"""From rows of trials to the scorecard: figures, targets, misses, and what each diagnostic is worth."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

import torchvitals
from sweeps.scorecard.figures import Row, before_betrayal, middle, scores
from sweeps.scorecard.ours import NAME

SPLITS = ("test", "tune")
"""In the order in which their figures are to be trusted."""

EARLY = frozenset({"TV204", "TV206", "TV301", "TV305", "TV306", "TV308"})
"""Codes of wiring and initialisation: their faults are there at the first step."""

TARGETS = (
    ("recall", ">=", 0.95, "faults that raise an alarm"),
    ("false_alarm_rate", "<=", 0.0, "healthy controls with anything above INFO"),
    ("cause_top1", ">=", 0.80, "faults whose root cause is named first"),
    ("module_top1", ">=", 0.85, "faults whose module is named first"),
    ("alert_precision", ">=", 0.90, "alerts that name the root cause"),
    ("wiring_and_init_latency", "<=", 1.0, "median steps until wiring and initialisation faults are told"),
    ("before_betrayal", ">=", 0.5, "other faults told before the loss betrays them"),
)
"""What the project set itself, on the test split: name, direction, value, and what it is."""

CHANGES = ("recall", "false_alarm_rate", "cause_top1", "module_top1", "alert_precision")
"""What is told of an ablation."""


def summarised(rows: Sequence[Row], *, quick: bool, seconds: float, ours: bool = False) -> dict[str, Any]:
    """The whole scorecard as plain JSON. `rows` hold every judge on every case; with `ours`, those of the
    others are from the run before.
    """
    judges = list(dict.fromkeys(row["judge"] for row in rows if " without " not in row["judge"]))
    parts = {split: _of(rows, NAME, split) for split in SPLITS}
    measured = _measured(parts["test"])
    return {
        "torchvitals": torchvitals.__version__,
        "torch": torch.__version__,
        "quick": quick,
        "ours": ours,
        "seconds": round(seconds, 1),
        "scores": [
            {"judge": judge, "split": split, **scores(_of(rows, judge, split))}
            for split in SPLITS
            for judge in judges
        ],
        "targets": [_target(measured, *target) for target in TARGETS],
        "misses": {split: list(_misses(part)) for split, part in parts.items()},
        "diagnostics": _by_diagnostic([row for row in rows if row["judge"] == NAME]),
        "ablation": list(_ablation(rows, parts["test"])),
    }


def _of(rows: Sequence[Row], judge: str, split: str) -> list[Row]:
    return [row for row in rows if row["judge"] == judge and row["split"] == split]


def _measured(test: Sequence[Row]) -> dict[str, float | None]:
    faults = [row for row in test if row["sort"] == "fault"]
    early = [row for row in faults if EARLY.intersection(row["truth"])]
    rest = [row for row in faults if not EARLY.intersection(row["truth"])]
    return {
        **scores(test),
        "wiring_and_init_latency": middle(row["latency"] for row in early),
        "before_betrayal": before_betrayal(rest),
    }


def _target(measured: Row, name: str, sign: str, wanted: float, what: str) -> Row:
    got = measured[name]
    return {
        "name": name,
        "what": what,
        "wanted": f"{sign} {wanted:g}",
        "got": got,
        "met": _met(got, sign, wanted),
    }


def _met(value: float | None, sign: str, wanted: float) -> bool:
    return value is not None and (value >= wanted if sign == ">=" else value <= wanted)


def _misses(part: Sequence[Row]) -> Iterator[Row]:
    """Every run that was not judged as it should be. One of the test split stays without its name: it would
    not be blind any more.
    """
    for row in part:
        what = _missed(row)
        if what:
            kept = ("name", "level", "seed", "truth", "said", "root", "where")
            told = {key: row[key] for key in kept}
            yield {"what": what, **(told if row["split"] == "tune" else {**told, "name": "", "where": []})}


def _missed(row: Row) -> str:
    if row["sort"] != "fault":
        return f"false alarm ({row['sort']})" if row["alarm"] else ""
    if not row["alarm"]:
        return "not found"
    if not row["cause"]:
        return "another cause named"
    return "another module named" if row["module"] is False else ""


def _by_diagnostic(ours: Sequence[Row]) -> list[dict[str, Any]]:
    """Of each code, how many alerts it raised as a root, how many were right, and how many of the runs whose
    truth admits it had it among their alerts. All splits together.
    """
    raised: dict[str, list[bool]] = {}
    for row in ours:
        for code in _codes(row):
            raised.setdefault(code, []).append(code in row["truth"])
    admitted: dict[str, list[bool]] = {}
    for row in ours:
        for code in row["truth"]:
            admitted.setdefault(code, []).append(code in _codes(row))
    return [
        {
            "code": code,
            "alerts": len(raised.get(code, ())),
            "precision": _share(raised.get(code)),
            "admitted": len(admitted.get(code, ())),
            "recall": _share(admitted.get(code)),
        }
        for code in sorted({*raised, *admitted})
    ]


def _codes(row: Row) -> list[str]:
    return [rule.partition(" ")[0] for rule in row["said"]]


def _share(answers: Sequence[bool] | None) -> float | None:
    return sum(answers) / len(answers) if answers else None


def _ablation(rows: Sequence[Row], test: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """How our figures on the test split change without each diagnostic."""
    whole = scores(test)
    prefix = f"{NAME} without "
    for judge in sorted({row["judge"] for row in rows if row["judge"].startswith(prefix)}):
        less = {_key(row): row for row in _of(rows, judge, "test")}
        changed = scores([less.get(_key(row), row) for row in test])
        yield {"code": judge.removeprefix(prefix), **{n: _change(changed[n], whole[n]) for n in CHANGES}}


def _key(row: Row) -> tuple[str, str, int]:
    return row["name"], row["level"], row["seed"]


def _change(now: float | None, before: float | None) -> float | None:
    return now - before if now is not None and before is not None else None
