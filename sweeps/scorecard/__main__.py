"""`python -m sweeps.scorecard`: judge the diagnostics, ours and those of others, on the same trainings."""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed
from rich.console import Console
from rich.progress import track

from sweeps.scorecard.figures import Row
from sweeps.scorecard.ours import NAME
from sweeps.scorecard.outcome import Judge
from sweeps.scorecard.pages import page, tables
from sweeps.scorecard.peers import PEERS
from sweeps.scorecard.plan import cases
from sweeps.scorecard.summary import summarised
from sweeps.scorecard.trial import Case, try_case

FOLDER = Path("runs/scorecard")
"""Where every judgement on every run is kept, one a line, written as they come."""


def main(arguments: list[str] | None = None) -> int:
    """Try all cases, print the tables, and write `scorecard.json` and `docs/scorecard.md`."""
    asked = _parser().parse_args(arguments)
    begun = time.monotonic()
    chosen = list(cases(quick=asked.quick, seeds=asked.seeds, every_level=asked.every_level))
    kept = FOLDER / ("quick.jsonl" if asked.quick else "rows.jsonl")
    others = said_before(kept) if asked.ours else []
    rows = tried(chosen, () if asked.ours else PEERS, kept, jobs=asked.jobs, before=others)
    card = summarised(rows, quick=asked.quick, ours=asked.ours, seconds=time.monotonic() - begun)
    console = Console(width=None if Console().is_terminal else 120)
    for table in tables(card):
        console.print(table)
    # A quick look must not overwrite what the README links to.
    folder = FOLDER if asked.quick else Path()
    (folder / "scorecard.json").write_text(json.dumps(card, indent=1) + "\n")
    (folder / "docs").mkdir(exist_ok=True)
    (folder / "docs" / "scorecard.md").write_text(page(card))
    where = folder / "scorecard.json"
    console.print(f"{len(rows)} judgements in {card['seconds'] / 60:.1f} minutes; written to {where}.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sweeps.scorecard", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one situation in nine: under 3 minutes")
    parser.add_argument(
        "--seeds", type=int, default=1, help="of each case; from 2 on clean twins are tried too"
    )
    parser.add_argument(
        "--every-level", action="store_true", help="faults at each level, not at one drawn by name"
    )
    parser.add_argument(
        "--ours", action="store_true", help="torchvitals alone; the others' judgements of the run before stay"
    )
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time")
    return parser


def said_before(kept: Path) -> list[Row]:
    """What the other judges said in the run before: no change of ours changes it."""
    rows = map(json.loads, kept.read_text().splitlines()) if kept.exists() else ()
    return [row for row in rows if not row["judge"].startswith(NAME)]


def tried(
    cases: list[Case], peers: Sequence[Judge], kept: Path, *, jobs: int, before: list[Row]
) -> list[Row]:
    """All rows of all cases, in their order, and behind them those that were there `before`."""
    found: Any = Parallel(n_jobs=jobs, return_as="generator")(delayed(try_case)(c, peers) for c in cases)
    rows: list[Row] = []
    kept.parent.mkdir(parents=True, exist_ok=True)
    with kept.open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in before)
        for case in track(found, "Trying", len(cases), console=Console(stderr=True)):
            rows += case
            file.writelines(json.dumps(row) + "\n" for row in case)
    return [*rows, *before]


if __name__ == "__main__":
    raise SystemExit(main())
