"""Without this file a sweep would end in a folder of files: `python -m sweeps.table runs/demo`."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean, median

from rich.console import Console

from sweeps import plan, results
from sweeps.grid import table
from sweeps.row import Row, rows_in
from sweeps.words import STYLES


def conclude(sweep: Path, console: Console) -> Sequence[Row]:
    """Print the table of a sweep's folder and combine its rows in one file; return the rows."""
    rows = list(rows_in(sweep))
    if rows:
        file = results.combine(rows, sweep)
        console.print()
        console.print(table(rows, width=console.width))
        for line in (*_counts(rows), *_remedies(rows), *_gaps(rows, sweep), f"All results: {file}"):
            console.print(line, markup=False, highlight=False)
    return rows


def _counts(rows: Sequence[Row]) -> Iterator[str]:
    counts = Counter(row.verdict for row in rows)
    diverged = sum(row.diverged for row in rows)
    words = [f"{counts[verdict]} {verdict}" for verdict in STYLES if verdict in counts]
    yield f"{len(rows)} runs: {', '.join(words)}." + (f" {diverged} diverged." if diverged else "")
    steps = [row.step_seconds for row in rows if row.step_seconds is not None]
    shares = [row.vitals.cost.share for row in rows if row.vitals is not None]
    if steps and shares:
        yield f"A step took {1000 * median(steps):.2g} ms; watching cost {fmean(shares):.1%} of the run."


def _remedies(rows: Sequence[Row]) -> Iterator[str]:
    """For each root cause, what to do first."""
    roots = {row.root.code: row.root for row in rows if row.root is not None}
    for code, root in sorted(roots.items()):
        if root.remedies:
            remedy = root.remedies[0]
            overrides = f"\n      {' '.join(remedy.overrides)}" if remedy.overrides else ""
            yield f"{code} {root.name}: {remedy.text}{overrides}"


def _gaps(rows: Sequence[Row], sweep: Path) -> Iterator[str]:
    """Runs that failed, each reason once, and runs that are not there."""
    reasons: dict[str, list[Row]] = {}
    for row in rows:
        if row.error:
            reasons.setdefault(row.error, []).append(row)
    for error, failed in reasons.items():
        yield f"Failed ({len(failed)} runs): {error} Traceback: {sweep}/{failed[0].id}/error.txt"
    planned = plan.load(sweep)
    if planned and len(rows) < planned.total:
        yield f"{planned.total - len(rows)} of {planned.total} runs are missing: the same command runs them."


def main() -> None:
    """Print the table of the folder on the command line."""
    parser = argparse.ArgumentParser(prog="python -m sweeps.table", description="Print the table of a sweep.")
    parser.add_argument("sweep", type=Path, help="its folder, such as runs/demo")
    folder = parser.parse_args().sweep
    if not conclude(folder, Console()):
        sys.exit(f"Error: no result in {folder}. Give the folder of a sweep, such as runs/demo.")


if __name__ == "__main__":
    main()
