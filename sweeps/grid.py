"""Without this file combinations could not be compared at a glance: lines and columns of a table."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sweeps.cells import Cell, cells, factors
from sweeps.row import Row
from sweeps.words import marked

COLUMNS = ("root cause", "where", "since step")


def table(rows: Sequence[Row], *, width: int) -> Table:
    """One line for each combination; where `width` is too little, the diagnosis moves under the verdict."""
    by = factors(rows)
    found = cells(rows, by)
    wide = _table(found, by, folded=False)
    endless = Console(width=10_000)
    return wide if endless.measure(wide).maximum <= width else _table(found, by, folded=True)


def _table(found: Sequence[Cell], by: Sequence[str], *, folded: bool) -> Table:
    lines = Table(box=SIMPLE_HEAD, padding=(0, 0 if folded else 1, 0, 0), pad_edge=False, show_edge=False)
    for key in by:
        lines.add_column(key.split(".")[-1], no_wrap=True)
    lines.add_column("verdict", no_wrap=not folded)
    told = () if folded or not any(cell.root or _error(cell) for cell in found) else COLUMNS
    for name in told:
        lines.add_column(name, no_wrap=True, justify="right" if name == "since step" else "left")
    score = _score_name(found)
    lines.add_column(score.replace(" ", "\n") if folded else score, no_wrap=True, justify="right")
    for cell, following in zip(found, [*found[1:], None], strict=True):
        section = following is not None and len(by) > 1 and following.values[0] != cell.values[0]
        lines.add_row(
            *cell.values, *_diagnosis(cell, folded=folded)[: 1 + len(told)], _score(cell), end_section=section
        )
    return lines


def _diagnosis(cell: Cell, *, folded: bool) -> Sequence[Text | str]:
    verdict = marked(cell.verdict)
    if len(cell.rows) > 1:
        verdict.append(f" {len(cell.agreeing)}/{len(cell.rows)}")
    cause = f"{cell.root.code} {cell.root.name}" if cell.root else _error(cell)
    onset = "" if cell.onset is None else str(cell.onset)
    if not folded:
        return verdict, cause, _short(cell.where), onset
    place = f"\n  at {_short(cell.where)}, step {onset}" if cell.where else ""
    return (Text.assemble(verdict, f" {cause}{place}"),)


def _short(site: str) -> str:
    """A site without what all sites of a sweep begin with: the training module's name for its network."""
    return site.removeprefix("network.")


def _error(cell: Cell) -> str:
    error = next((row.error for row in cell.agreeing if row.error), "")
    return error if len(error) < 60 else f"{error[:57]}..."


def _score(cell: Cell) -> str:
    if cell.score is None:
        return ""
    mean, deviation = cell.score
    return f"{mean:.3f}" + ("" if deviation is None else f" ±{deviation:.3f}")


def _score_name(found: Sequence[Cell]) -> str:
    names = {row.score for cell in found for row in cell.rows if row.status == "done"}
    return names.pop().replace("/", " ") if len(names) == 1 else "test score"
