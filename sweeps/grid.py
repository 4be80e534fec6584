"""Without this file combinations could not be compared at a glance: lines and columns of a table."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sweeps.cells import Cell, cells, factors
from sweeps.row import Row
from sweeps.trimmed import Trimmed
from sweeps.words import marked

Layout = Literal["wide", "folded", "narrow"]
COLUMNS = ("root cause", "where", "since step")
ENDLESS = Console(width=10_000)


def table(rows: Sequence[Row], *, width: int) -> Trimmed:
    """One line for each combination, in the first layout that fits into `width`, else in the narrowest.

    Folded, the diagnosis moves under the verdict; narrow, all that varies is in one column as well.
    """
    by = factors(rows)
    found = cells(rows, by)
    wide = _table(found, by, layout="wide")
    if ENDLESS.measure(wide).maximum <= width:
        return Trimmed(wide)
    folded = _table(found, by, layout="folded")
    if ENDLESS.measure(folded).minimum <= width:
        return Trimmed(folded)
    narrow = _table(found, by, layout="narrow")
    first, *rest = narrow.columns
    # By itself rich takes from the score what the others lack.
    first.width = max(width - sum((column.min_width or 0) + 1 for column in rest), 1)
    return Trimmed(narrow)


def _table(found: Sequence[Cell], by: Sequence[str], *, layout: Layout) -> Table:
    folded = layout != "wide"
    told = () if folded or not any(cell.root or _error(cell) for cell in found) else COLUMNS
    lines = Table(box=SIMPLE_HEAD, padding=(0, 0 if folded else 1, 0, 0), pad_edge=False, show_edge=False)
    for column in [*_factors(found, by, layout), _verdict(found, layout)]:
        lines.add_column(column.head, no_wrap=not column.wraps, overflow="fold", min_width=column.least)
    for name in told:
        lines.add_column(name, no_wrap=True, justify="right" if name == "since step" else "left")
    score = _score_name(found).replace(" ", "\n" if folded else " ")
    least = max(map(len, [*score.splitlines(), *map(_score, found)]))
    lines.add_column(score, no_wrap=True, justify="right", min_width=least)
    for cell, following in zip(found, [*found[1:], None], strict=True):
        section = following is not None and len(by) > 1 and following.values[0] != cell.values[0]
        shown = (_assigned(cell, by),) if layout == "narrow" else cell.values
        diagnosis = _diagnosis(cell, layout)[: 1 + len(told)]
        lines.add_row(*shown, *diagnosis, _score(cell), end_section=section)
    return lines


@dataclass(frozen=True)
class _Column:
    head: str
    least: int
    """columns of the terminal without which names would be cut"""
    wraps: bool = False


def _factors(found: Sequence[Cell], by: Sequence[str], layout: Layout) -> list[_Column]:
    if layout == "narrow":
        return [_Column("combination", 1, wraps=True)]
    values = zip(*(cell.values for cell in found), strict=True)
    return [
        _Column(head, max(map(len, [head, *column]))) for head, column in zip(_heads(by), values, strict=True)
    ]


def _verdict(found: Sequence[Cell], layout: Layout) -> _Column:
    if layout == "wide":
        return _Column("verdict", len("verdict"))
    lines = [line for cell in found for line in _lines(cell, layout)]
    return _Column("verdict", max(map(len, ["verdict", *lines])), wraps=True)


def _lines(cell: Cell, layout: Layout) -> list[str]:
    """What stands under the verdict of a cell and must not be cut; the text of an error may."""
    told = _diagnosis(cell, layout)[0].plain.splitlines()
    return told if cell.root else [cell.verdict]


def _heads(by: Sequence[str]) -> list[str]:
    """Keys without their group, wherever that leaves no two alike."""
    short = Counter(key.split(".")[-1] for key in by)
    return [key if short[key.split(".")[-1]] > 1 else key.split(".")[-1] for key in by]


def _assigned(cell: Cell, by: Sequence[str]) -> str:
    pairs = zip(_heads(by), cell.values, strict=True)
    return " ".join(f"{head}={value}" for head, value in pairs if value not in {"", "None"})


def _diagnosis(cell: Cell, layout: Layout) -> tuple[Text, ...]:
    verdict = marked(cell.verdict)
    if len(cell.rows) > 1:
        verdict.append(f" {len(cell.agreeing)}/{len(cell.rows)}")
    cause = f"{cell.root.code} {cell.root.name}" if cell.root else _error(cell)
    onset = "" if cell.onset is None else str(cell.onset)
    ends = "".join(f", {end}" for end in cell.ends)
    if layout == "wide":
        return verdict.append(ends), Text(cause), Text(_short(cell.where)), Text(onset)
    place = f"\n  at {_short(cell.where)}, step {onset}" if cell.where else ""
    if layout == "narrow":
        return (Text.assemble(verdict, ends, f"\n{cause}" if cause else "", place),)
    return (Text.assemble(verdict, f" {cause}" if cause else "", place, ends),)


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
