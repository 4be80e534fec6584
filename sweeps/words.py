"""Without this file progress and table would put the same verdict in different words and colours."""

from collections.abc import Mapping

from rich.text import Text

from sweeps.row import Row

STYLES: Mapping[str, tuple[str, str]] = {
    "not watched": ("? ", "dim"),
    "healthy": ("  ", "green"),
    "no data": ("? ", "yellow"),
    "suspect": ("! ", "bold yellow"),
    "ill": ("✗ ", "bold red"),
    "failed": ("✗ ", "bold white on red"),
}
"""Mark and colour of each verdict, the better first; the mark is for those who see no colour."""
WIDTH = len("! suspect")


def marked(verdict: str) -> Text:
    """A verdict with its mark and colour."""
    mark, style = STYLES[verdict]
    return Text(f"{mark}{verdict}", style=style)


def described(row: Row) -> str:
    """Score, root cause and time of a run in a few words; the error of one that failed."""
    if row.error:
        return row.error
    score = row.metrics.get(row.score)
    cause = f"{row.root.code} {row.root.name}" if row.root else ""
    parts = ["" if score is None else f"{score:.3f}", cause, f"{row.wall_seconds:.1f} s"]
    return "  ".join(part for part in parts if part)
