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


def counted(number: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def ended(row: Row) -> tuple[str, ...]:
    """How a run ended that did not end well, in a word or two; nothing of any other."""
    ends = {"stopped": row.stopped is not None, "diverged": row.diverged}
    return tuple(word for word, true in ends.items() if true)


def concluded(row: Row) -> str:
    """The last line of a run: its score, and why it ended before its time or was lost."""
    score = row.metrics.get(row.score, float("nan"))
    end = f"after {counted(row.steps, 'step')} in {row.wall_seconds:.1f} s"
    if row.stopped:
        severity = row.config.get("diagnostics.stop_on")
        end = f"stopped at step {row.steps} by stop_on={severity}: {row.stopped}"
    lost = "; diverged: a loss or a parameter is not finite" if row.diverged else ""
    return f"{row.score} {score:.3f} {end}{lost}"


def named(row: Row) -> str:
    """The root cause of a run, if it has one."""
    return f"{row.root.code} {row.root.name}" if row.root else ""


def described(row: Row) -> str:
    """Score and end of a run in a few words; the error of one that failed."""
    if row.error:
        return row.error
    score = row.metrics.get(row.score)
    return " ".join(["" if score is None else f"{score:.3f}", *ended(row)])
