"""How the tables of several ranks become those of one process."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from torchvitals.core.tables import Table

PARAMETERS = frozenset({"gradient", "parameter", "update"})
"""Kinds whose rows are parameters: of sharded ones each rank has a part."""
FORWARD = frozenset(
    {
        *("input", "output", "features", "activation", "activation_gradient", "saturation", "silence"),
        *("loss", "memory"),
    }
)
"""Kinds that are of a rank's own batch. Those of batch norms are not among them: by design they are of
one rank's batch.
"""
RANKS = frozenset({"rank", "rank_gradient"})
"""Kinds with one row for each rank, which say nothing of a rank alone."""

_LINEAR = ("abs_max",)
_SQUARE = ("sum_sq", "early_sq", "late_sq")


def averaged(tables: Mapping[str, Table], ranks: int) -> dict[str, Table]:
    """Tables in which gradients by what a forward pass gave are those of the mean of the ranks' losses: each
    rank computes them for its own loss.
    """
    found = dict(tables)
    for kind in ("activation_gradient", "memory"):
        if ranks > 1 and kind in found:
            table = found[kind]
            columns = {
                name: column / ranks if name in _LINEAR else column / ranks**2 if name in _SQUARE else column
                for name, column in table.columns.items()
            }
            found[kind] = Table(kind, table.names, columns, table.units)
    return found


def merged(parts: Sequence[Mapping[str, Table]]) -> dict[str, Table]:
    """The tables of all parts, rows of the same name merged."""
    found = dict(parts[0])
    for part in parts[1:]:
        for kind, table in part.items():
            found[kind] = found[kind].merge(table) if kind in found else table
    return found


def rows(table: Table, wanted: Callable[[str], bool]) -> Table:
    return table.take(i for i, name in enumerate(table.names) if wanted(name))


def of_rank(place: int, tables: Mapping[str, Table], lost: float) -> dict[str, Table]:
    """Whether a rank was given, or gave, numbers that are not finite, and when it first had such a loss."""
    seen = [tables[kind] for kind in ("input", "output") if kind in tables]
    columns = {
        "count": np.array([sum(float(table["count"].sum()) for table in seen)]),
        "nonfinite": np.array([sum(float(table["nonfinite"].sum()) for table in seen)]),
        "first_step": np.array([lost]),
    }
    return {"rank_forward": Table("rank_forward", (f"rank {place}",), columns)}


def losses_mean(scalars: Mapping[str, float], others: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The scalars of the first rank with the mean loss of all that were told one."""
    if "loss" not in scalars:
        return dict(scalars)
    losses = [scalars["loss"], *(told["loss"] for told in others if "loss" in told)]
    return {**scalars, "loss": sum(losses) / len(losses)}
