"""Hand-made looks at who trains what, for the tests of the diagnostics of wiring."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torchvitals.core.snapshot import Snapshot
from torchvitals.core.tables import Table
from torchvitals.testing import table

CHAIN = ("stem.weight", "stem.bias", "body.weight", "body.bias", "head.weight", "head.bias")
"""Parameters of three layers, in execution order."""


def wired(
    step: int,
    *,
    names: Sequence[str] = CHAIN,
    fed: Iterable[str] | None = None,
    zeros: Iterable[str] = (),
    moving: Iterable[str] | None = None,
    held: Iterable[str] | None = None,
    frozen: Iterable[str] = (),
    executed: Iterable[str] | None = None,
    reached: Iterable[str] | None = None,
    arrived: Iterable[str] | None = None,
    size: Mapping[str, float] | None = None,
    wiring: bool = True,
    lr: float | None = 0.1,
    loss: float | None = 1.0,
    resolution: float = 2.0**-23,
    witnesses: int = 1,
    gradient: float = 1e-2,
    rms: float = 0.1,
    labels: Mapping[str, str] | None = None,
    **scalars: float,
) -> Snapshot:
    """A look at parameters of 64 entries; without a word all of them are held, reached, fed and moving.

    `fed` have a gradient, `zeros` one of exactly 0, `moving` change at this step (and keep what they have
    become in later looks), `arrived` are the sites with a gradient.
    """
    every = [name for name in names if name not in set(frozen)]
    fed = list(every if fed is None else fed)
    moving = list(fed if moving is None else moving)
    rows = [name for name in names if name in {*fed, *zeros}]
    sites = dict.fromkeys(name.rpartition(".")[0] for name in names)
    count = [64.0 if size is None else size.get(name, 64.0) for name in names]
    weight = [
        c * rms**2 * (1 + 1e-3 * (step if n in moving else 0)) for n, c in zip(names, count, strict=True)
    ]
    tables = {
        "parameter": table(
            "parameter",
            names,
            count=count,
            sum_sq=weight,
            trainable=_flags(names, every),
            held=_flags(names, held),
        ),
        "gradient": table("gradient", rows, sum_sq=[64 * gradient**2 if n in fed else 0.0 for n in rows]),
        "update": table(
            "update", every, sum_sq=[1e-6 if n in moving else 0.0 for n in every], resolution=resolution
        ),
        "activation_gradient": table(
            "activation_gradient", tuple(sites), sum_sq=_flags(tuple(sites), arrived)
        ),
        "witness": table("witness", names[:witnesses]),
    }
    if wiring:
        tables["wiring"] = table(
            "wiring",
            every,
            held=_flags(every, held),
            executed=_flags(every, executed),
            reached=_flags(every, fed if reached is None else reached),
        )
    told = {"lr": lr, "loss": loss, "iteration": step + 1.0, "gradient_norm": 1.0, **scalars}
    return Snapshot(
        step,
        {name: value for name, value in told.items() if value is not None},
        {"optimizer": "SGD", **(labels or {})},
        tables,
    )


def without(snapshot: Snapshot, *kinds: str) -> Snapshot:
    """The same look without these tables."""
    tables = {kind: t for kind, t in snapshot.tables.items() if kind not in kinds}
    return Snapshot(snapshot.step, snapshot.scalars, snapshot.labels, tables, snapshot.due)


def extended(snapshot: Snapshot, kind: str, names: Sequence[str], **columns: Any) -> Snapshot:
    """The look with more rows in one table."""
    merged = snapshot[kind].merge(table(kind, names, **columns))
    return Snapshot(snapshot.step, snapshot.scalars, snapshot.labels, {**snapshot.tables, kind: merged})


def louder(snapshot: Snapshot, factor: float) -> Snapshot:
    """The look of the same step with a loss `factor` times as large."""
    tables: dict[str, Table] = {}
    for kind, t in snapshot.tables.items():
        scaled = kind in ("gradient", "activation_gradient", "witness")
        columns = {
            name: c * factor**2 if scaled and name in ("sum_sq", "incoming_sq") else c
            for name, c in t.columns.items()
        }
        tables[kind] = Table(kind, t.names, columns, t.units)
    scalars = {n: v * factor if n in ("loss", "gradient_norm") else v for n, v in snapshot.scalars.items()}
    return Snapshot(snapshot.step, scalars, snapshot.labels, tables)


def _flags(names: Sequence[str], chosen: Iterable[str] | None) -> list[float]:
    """1 for each of the chosen names; all are where nothing was said."""
    return [1.0] * len(names) if chosen is None else [float(name in set(chosen)) for name in names]
