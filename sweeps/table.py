"""Without this file a sweep would end in a folder of files: `python -m sweeps.table runs/demo`."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean, median

from rich.console import Console
from rich.text import Text

from sweeps import plan, results
from sweeps.grid import table
from sweeps.plan import Plan
from sweeps.row import Row, rows_in
from sweeps.trimmed import Trimmed
from sweeps.words import STYLES, counted, ended


def conclude(sweep: Path, console: Console) -> Sequence[Row]:
    """Print the table of a sweep's folder and combine its rows in one file; return the rows."""
    planned = plan.load(sweep)
    mine, others = plan.ordered(rows_in(sweep), by=planned)
    rows = [*mine, *others]
    if rows:
        file = results.combine(rows, sweep)
        console.print()
        console.print(table(rows, width=console.width))
        lines = (
            *_counts(rows),
            *_remedies(rows),
            *_failures(rows, sweep),
            *_gaps(planned, mine, others),
            f"All results: {file}",
        )
        for line in lines:
            console.print(Trimmed(Text(line)))
    return rows


def _counts(rows: Sequence[Row]) -> Iterator[str]:
    counts = Counter(row.verdict for row in rows)
    words = [f"{counts[verdict]} {verdict}" for verdict in STYLES if verdict in counts]
    ends = Counter(end for row in rows for end in ended(row))
    yield " ".join(
        [f"{counted(len(rows), 'run')}: {', '.join(words)}.", *(f"{n} {end}." for end, n in ends.items())]
    )
    steps = [row.step_seconds for row in rows if row.step_seconds is not None]
    shares = [row.vitals.cost.share for row in rows if row.vitals is not None]
    if steps and shares:
        yield f"A step took {1000 * median(steps):.2g} ms; watching cost {fmean(shares):.1%} of the run."


def _remedies(rows: Sequence[Row]) -> Iterator[str]:
    """For each root cause, what to do first; runs that need different things have a line each."""
    roots = [row.root for row in rows if row.root is not None and row.root.remedies]
    counts = Counter((root.code, root.name, root.remedies[0]) for root in roots)
    for (code, name, remedy), number in sorted(counts.items(), key=lambda item: (item[0][0], -item[1])):
        overrides = f"\n      {' '.join(remedy.overrides)}" if remedy.overrides else ""
        yield f"{code} {name} ({counted(number, 'run')}): {remedy.text}{overrides}"


def _failures(rows: Sequence[Row], sweep: Path) -> Iterator[str]:
    """Runs that failed, each reason once."""
    reasons: dict[str, list[Row]] = {}
    for row in rows:
        if row.error:
            reasons.setdefault(row.error, []).append(row)
    for error, failed in reasons.items():
        yield f"Failed ({counted(len(failed), 'run')}): {error} Traceback: {sweep}/{failed[0].id}/error.txt"


def _gaps(planned: Plan | None, mine: Sequence[Row], others: Sequence[Row]) -> Iterator[str]:
    """Runs that are not there, and runs that the last command line did not ask for."""
    if planned and len(mine) < planned.total:
        missing = planned.total - len(mine)
        are = "is" if missing == 1 else "are"
        yield f"{missing} of {counted(planned.total, 'run')} {are} missing: the same command runs them."
    if others:
        yield f"{counted(len(others), 'run')} of other command lines with this name, at the end of the table."


def main() -> None:
    """Print the table of the folder on the command line."""
    parser = argparse.ArgumentParser(prog="python -m sweeps.table", description="Print the table of a sweep.")
    parser.add_argument("sweep", type=Path, help="its folder, such as runs/demo")
    folder = parser.parse_args().sweep
    if not conclude(folder, Console()):
        sys.exit(f"Error: no result in {folder}. Give the folder of a sweep, such as runs/demo.")


if __name__ == "__main__":
    main()
