"""Figures as the cells of a table."""

from collections.abc import Sequence
from typing import Any

NOTHING = "-"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def share(estimate: dict[str, Any] | None) -> str:
    if estimate is None:
        return NOTHING
    low, high = estimate["interval"]
    return f"{percent(estimate['share'])} [{100 * low:.1f}, {100 * high:.1f}]"


def spread(told: dict[str, Any] | None) -> str:
    """Milliseconds, with the interval of the median where there is one, or else the quartiles."""
    if told is None:
        return NOTHING
    low, high = told.get("interval", told["quartiles"])
    return f"{1e3 * told['median']:.2f} ms [{1e3 * low:.2f}, {1e3 * high:.2f}]"


def count(number: float) -> str:
    return f"{number / 1e6:.1f} M" if number >= 1e6 else f"{number / 1e3:.0f} k"


def megabytes(number: float) -> str:
    return f"{number / 1e6:.1f} MB"


def kibibytes(run: dict[str, Any]) -> str:
    low, high = run["interval"]
    return f"{run['growth'] / 1024:.1f} KiB [{low / 1024:.1f}, {high / 1024:.1f}]"


def exponent(fit: dict[str, Any] | None) -> str:
    if fit is None:
        return NOTHING
    low, high = fit["interval"]
    return f"{fit['slope']:.2f} [{low:.2f}, {high:.2f}]"
