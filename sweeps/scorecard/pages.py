"""The scorecard as people read it: on the console, and as a page."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.table import Table

from sweeps.scorecard.summary import CHANGES, SPLITS

TEMPLATE = Path(__file__).with_name("page.md")
FIGURES = (
    ("recall", "recall"),
    ("false_alarm_rate", "false alarms"),
    ("cause_top1", "root cause"),
    ("module_top1", "module"),
    ("alert_precision", "alert precision"),
    ("median_latency_steps", "latency"),
)


def tables(card: dict[str, Any]) -> Iterator[Table]:
    """What the command prints."""
    for split in SPLITS:
        yield _table(f"Judges on the {split} split", *_judges(card, split))
    yield _table("Targets, test split", *_targets(card))
    for split in SPLITS:
        if card["misses"][split]:
            yield _table(f"Where torchvitals was wrong, {split} split", *_misses(card, split))


def page(card: dict[str, Any]) -> str:
    """docs/scorecard.md, whole."""
    ours = {split: _ours(card, split) for split in SPLITS}
    return TEMPLATE.read_text().format(
        quick=" (quick subset)" if card["quick"] else "",
        minutes=f"{card['seconds'] / 60:.0f}",
        before="; what the other judges said is from the run before" if card["ours"] else "",
        torch=card["torch"],
        betrayed=_number(ours["test"]["median_betrayal_steps"]),
        targets=_markdown(*_targets(card)),
        diagnostics=_markdown(*_diagnostics(card)),
        ablation=_markdown(*_ablation(card)),
        **{
            f"{split}_size": f"{o['n_faults']} faults, {o['n_controls']} controls"
            for split, o in ours.items()
        },
        **{f"{split}_judges": _markdown(*_judges(card, split)) for split in SPLITS},
        **{f"{split}_misses": _markdown(*_misses(card, split)) for split in SPLITS},
    )


def _size(score: dict[str, Any]) -> str:
    return f"{score['n_faults']} faults, {score['n_controls']} controls"


def _ours(card: dict[str, Any], split: str) -> dict[str, Any]:
    return next(score for score in card["scores"] if score["split"] == split)


Grid = tuple[list[str], list[list[str]]]


def _judges(card: dict[str, Any], split: str) -> Grid:
    head = ["judge", *(title for _, title in FIGURES), "broke"]
    rows = []
    for s in card["scores"]:
        if s["split"] == split:
            cells = [_cell(s, key) for key, _ in FIGURES]
            rows.append([s["judge"], *cells, str(s["errors"]) if s["errors"] else ""])
    return head, rows


def _cell(score: dict[str, Any], key: str) -> str:
    spread = score["intervals"].get(key, {}).get("bootstrap")
    return _number(score[key]) + (f" [{spread[0]:.2f}, {spread[1]:.2f}]" if spread else "")


def _targets(card: dict[str, Any]) -> Grid:
    rows = [
        [t["what"], t["wanted"], _number(t["got"]), "met" if t["met"] else "missed"] for t in card["targets"]
    ]
    return ["target", "wanted", "got", ""], rows


def _misses(card: dict[str, Any], split: str) -> Grid:
    """Those of `test` by what was true and what was said; those of `tune` by name and place too."""
    rows = []
    for m in card["misses"][split]:
        told = [m["what"], " ".join(m["truth"]), "; ".join(m["said"])]
        run = f"{m['name']} {m['level']} #{m['seed']}".replace("  ", " ")
        rows.append(told if split == "test" else [run, *told, ", ".join(m["where"][:1])])
    head = ["what", "truth", "alerts"]
    return head if split == "test" else ["run", *head, "where"], rows


def _diagnostics(card: dict[str, Any]) -> Grid:
    rows = [
        [d["code"], str(d["alerts"]), _number(d["precision"]), str(d["admitted"]), _number(d["recall"])]
        for d in card["diagnostics"]
    ]
    return ["code", "alerts", "precision", "admitted", "recall"], rows


def _ablation(card: dict[str, Any]) -> Grid:
    rows = [[a["code"], *(_signed(a[name]) for name in CHANGES)] for a in card["ablation"]]
    return ["without", "recall", "false alarms", "root cause", "module", "alert precision"], rows


def _table(title: str, head: list[str], rows: list[list[str]]) -> Table:
    table = Table(title=title)
    for column in head:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value == int(value) and abs(value) > 1 else f"{value:.2f}"


def _signed(value: float | None) -> str:
    return "" if value is None or abs(value) < 5e-4 else f"{value:+.3f}"
