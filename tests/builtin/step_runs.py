"""Hand-made looks at steps, losses and data; without it seven test files would spell out the same tables."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from torchvitals.core.snapshot import Snapshot
from torchvitals.core.tables import Table
from torchvitals.core.window import Window
from torchvitals.testing import table

MATRICES = ("fc1.weight", "fc2.weight", "head.weight")
ENTRIES = 64.0


def moved(
    step: int,
    ratio: float | Sequence[float] = 1e-3,
    *,
    loss: float | None = 1.0,
    names: Sequence[str] = MATRICES,
    size: float | Sequence[float] = 1.0,
    fan_in: float | Sequence[float] = 64.0,
    gradient: float = 1e-2,
    unchanged: float | Sequence[float] = 0.0,
    idle: float | Sequence[float] = 0.0,
    resolution: float = 2.0**-23,
    held: float = 1.0,
    optimizer: str = "SGD",
    **scalars: float,
) -> Snapshot:
    """A look at which weights of RMS `size` were updated by `ratio` of themselves; gradients are RMS too."""
    weight = np.asarray(size, float)
    told = {"lr": 0.1, **scalars, **({} if loss is None else {"loss": loss})}
    return Snapshot(
        step,
        told,
        {"optimizer": optimizer},
        {
            "gradient": table("gradient", names, sum_sq=ENTRIES * gradient**2),
            "parameter": table(
                "parameter",
                names,
                sum_sq=ENTRIES * weight**2,
                fan_in=fan_in,
                resolution=resolution,
                held=held,
            ),
            "update": table(
                "update",
                names,
                sum_sq=ENTRIES * (weight * np.asarray(ratio, float)) ** 2,
                unchanged=unchanged,
                idle=idle,
                resolution=resolution,
            ),
        },
    )


def louder(snapshot: Snapshot, factor: float) -> Snapshot:
    """The same step with loss and gradients `factor` times as large, and the same update."""
    old = snapshot["gradient"]
    gradient = Table(old.kind, old.names, {**old.columns, "sum_sq": old["sum_sq"] * factor**2}, old.units)
    scalars = {n: v * factor if n == "loss" else v for n, v in snapshot.scalars.items()}
    return Snapshot(
        snapshot.step, scalars, snapshot.labels, {**snapshot.tables, "gradient": gradient}, snapshot.due
    )


def turned(snapshot: Snapshot) -> Snapshot:
    """The same step with the parameters in the opposite order."""
    tables = {kind: t.take(reversed(range(len(t)))) for kind, t in snapshot.tables.items()}
    return Snapshot(snapshot.step, snapshot.scalars, snapshot.labels, tables, snapshot.due)


def of(snapshots: Iterable[Snapshot]) -> Window:
    given = Window()
    for snapshot in snapshots:
        given = given.add(snapshot)
    return given


def called(step: int, *rows: Mapping[str, Any], loss: float | None = None, **columns: Any) -> Snapshot:
    """A look at which loss functions were called, one a row (or one, described by `columns`).

    `targets` is the number of targets and `mean` their mean loss; `present` the classes among them.
    """
    given = rows or (columns,)
    healthy = {
        "op": "cross_entropy",
        "after": "",
        "reduction": "mean",
        "mean": 1.0,
        "targets": 32.0,
        "classes": 10.0,
    }
    full = [{**healthy, **row} for row in given]
    names, seen = [], {}
    for row in full:
        seen[row["op"]] = seen.get(row["op"], 0) + 1
        names.append(row["op"] + (f"#{seen[row['op']]}" if seen[row["op"]] > 1 else ""))
    present = tuple(np.asarray(row.pop("present", np.ones(int(row["classes"]), bool)), bool) for row in full)
    for row in full:
        row["count"] = row.pop("targets")
        row["loss_sum"] = row.pop("mean") * row["count"]
        if row["op"] not in ("cross_entropy", "nll_loss"):
            row.setdefault("prior", 0.0)
    keys = dict.fromkeys(key for row in full for key in row)
    defaults = {"low": -2.0, "high": 2.0, "row_error": 3.0, "axis": -1.0, "prior": 64.0, "sum_sq": 32.0}
    defaults |= {"target_low": -1.0, "target_high": 1.0, "target_sum": 0.0, "target_sq": 32.0}
    defaults |= {"broadcast": 0.0, "adjusted": 0.0}
    columns = {k: [row.get(k, defaults.get(k)) for row in full] for k in keys}
    built = table("loss", names, **columns)
    calls = Table(
        "loss", built.names, {**built.columns, **_rest(built, defaults, keys)}, {"present": present}
    )
    told = loss if loss is not None else full[0]["loss_sum"] / full[0]["count"]
    return Snapshot(step, {"loss": told, "lr": 0.1}, {}, {"loss": calls})


def _rest(built: Table, defaults: Mapping[str, float], keys: Iterable[str]) -> dict[str, np.ndarray]:
    return {k: np.full(len(built), v) for k, v in defaults.items() if k not in set(keys)}


def together(*snapshots: Snapshot) -> Snapshot:
    """What all of them measured at one step."""
    first = snapshots[0]
    tables = {kind: t for s in snapshots for kind, t in s.tables.items()}
    scalars = {name: value for s in reversed(snapshots) for name, value in s.scalars.items()}
    return Snapshot(first.step, scalars, first.labels, tables)
