"""Hand-made windows of runs; without it every test of a diagnostic would spell out the same tables."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from torchvitals.core.finding import Finding, Incident
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.tables import Table
from torchvitals.core.window import Window
from torchvitals.incidents import IncidentBook
from torchvitals.testing import table

NAMES = tuple(f"fc{i}" for i in range(10))

Scaler = Callable[[Snapshot, float], Snapshot]


def window(snapshots: Iterable[Snapshot]) -> Window:
    """Taken in one by one, as the engine does."""
    given = Window()
    for snapshot in snapshots:
        given = given.add(snapshot)
    return given


def only(diagnostic: Diagnostic, given: Window) -> Finding:
    """The one finding; fails where there is none or more."""
    (finding,) = diagnostic.diagnose(given)
    return finding


def silent(diagnostic: Diagnostic, given: Window) -> bool:
    return not list(diagnostic.diagnose(given))


def incidents(diagnostic: Diagnostic, snapshots: Iterable[Snapshot]) -> tuple[Incident, ...]:
    """What becomes of the findings when the run is judged at every look."""
    given, book = Window(), IncidentBook()
    for snapshot in snapshots:
        given = given.add(snapshot)
        book.follow(diagnostic.diagnose(given), snapshot.step, looked=bool(snapshot.tables))
    return book.incidents


def silence(
    step: int, fired: Mapping[str, Sequence[bool] | np.ndarray], *, op: str = "relu", positions: float = 2000
) -> Snapshot:
    """A look at which these units of these sites fired, each at `positions` sample positions."""
    rows = table("silence", tuple(fired), op=op, positions=positions)
    bits = tuple(np.asarray(b, bool) for b in fired.values())
    return Snapshot(
        step, {"loss": 1.0}, {}, {"silence": Table("silence", rows.names, rows.columns, {"fired": bits})}
    )


def backward(
    step: int,
    decades: Sequence[float] | np.ndarray,
    *,
    loss: float | None = 1.0,
    optimizer: str = "SGD",
    eps: float | None = None,
    op: str | Sequence[str] = "relu",
    gradient: float = 1e-3,
    update: float = 1e-4,
    **scalars: float,
) -> Snapshot:
    """A look at which the activation gradient's norm at site i was 10^decades[i].

    `gradient` and `update` are the root mean squares of every layer's weight, whose own one is 1.
    """
    names, weights = NAMES[: len(decades)], tuple(f"{name}.weight" for name in NAMES[: len(decades)])
    given = {"lr": 0.1, "eps": eps, "loss": loss, **scalars}
    return Snapshot(
        step,
        {name: value for name, value in given.items() if value is not None},
        {"optimizer": optimizer},
        {
            "activation_gradient": table(
                "activation_gradient", names, op=op, sum_sq=10.0 ** (2 * np.asarray(decades))
            ),
            "gradient": table("gradient", weights, sum_sq=64 * gradient**2),
            "update": table("update", weights, sum_sq=64 * update**2),
            "parameter": table("parameter", weights, sum_sq=64.0),
        },
    )


def slope(growth: float, sites: int = 10) -> np.ndarray:
    """Decades that grow by `growth` from the last site back to the first, the same from site to site."""
    return np.linspace(growth, 0, sites)


def changed(snapshot: Snapshot, kind: str, **columns: Any) -> Snapshot:
    """The snapshot with these columns of one table replaced."""
    old = snapshot[kind]
    new = Table(
        kind, old.names, {**old.columns, **{k: np.asarray(v, float) for k, v in columns.items()}}, old.units
    )
    return Snapshot(snapshot.step, snapshot.scalars, snapshot.labels, {**snapshot.tables, kind: new})


def broken(snapshot: Snapshot, step: int) -> Snapshot:
    """The same step if everything had been NaN: rows without a finite entry, units that count as fired."""
    tables = {}
    for kind, old in snapshot.tables.items():
        bad = {"nonfinite": old["count"], "sum_sq": np.zeros(len(old)), "abs_max": np.zeros(len(old))}
        fired = {"fired": tuple(np.ones_like(bits) for bits in old.units.get("fired", ()))}
        tables[kind] = Table(kind, old.names, {**old.columns, **bad}, fired if old.units else {})
    return Snapshot(step, {**snapshot.scalars, "loss": math.nan}, snapshot.labels, tables)


def scaled(snapshot: Snapshot, factor: float) -> Snapshot:
    """The same step with loss and gradients `factor` times as large, and updates as plain SGD's would be."""
    linear = {"activation_gradient", "gradient", "update"}
    tables = {
        kind: Table(
            kind,
            t.names,
            {
                **t.columns,
                "sum_sq": t["sum_sq"] * factor**2,
                "sum": t["sum"] * factor,
                "abs_max": t["abs_max"] * factor,
            },
            t.units,
        )
        if kind in linear
        else t
        for kind, t in snapshot.tables.items()
    }
    scalars = {n: v * factor if n in ("loss", "gradient_norm") else v for n, v in snapshot.scalars.items()}
    return Snapshot(snapshot.step, scalars, snapshot.labels, tables)


def halved(snapshot: Snapshot) -> Snapshot:
    """The same step measured on two micro-batches and merged, which only summed statistics can tell apart."""
    tables = {}
    for kind, t in snapshot.tables.items():
        half = {name: t[name] / 2 for name in ("count", "nonfinite", "sum", "sum_sq", "positions")}
        one = Table(
            kind, t.names, {**t.columns, **half}, {k: tuple(map(_even, b)) for k, b in t.units.items()}
        )
        other = Table(
            kind, t.names, {**t.columns, **half}, {k: tuple(map(_odd, b)) for k, b in t.units.items()}
        )
        tables[kind] = one.merge(other)
    return Snapshot(snapshot.step, snapshot.scalars, snapshot.labels, tables)


def _even(bits: np.ndarray) -> np.ndarray:
    return bits & (np.arange(len(bits)) % 2 == 0)


def _odd(bits: np.ndarray) -> np.ndarray:
    return bits & (np.arange(len(bits)) % 2 == 1)


def verdict(findings: Iterable[Finding]) -> list[tuple]:
    """What has to stay the same under the laws: everything but the last digits of the evidence."""
    return [(f.code, f.severity, f.where, f.since, f.cause, f.remedies) for f in findings]


@st.composite
def profiles(draw: st.DrawFn) -> np.ndarray:
    """Decades over depth, more or less steady, on no threshold: there the last digit would decide."""
    sites = draw(st.integers(6, 10))
    rate = draw(st.sampled_from([-0.7, -0.47, -0.35, -0.11, 0.12, 0.34, 0.48, 0.71]))
    jitter = np.array(draw(st.lists(st.integers(-300, 300), min_size=sites, max_size=sites))) / 1000
    decades = rate * np.arange(sites) + jitter + np.arange(sites) / 1e4
    growth = float(decades[0] - decades[-1])
    r2 = float(np.corrcoef(np.arange(sites), decades)[0, 1] ** 2)
    limits = [
        abs(growth) - 3,
        abs(growth) - 4,
        r2 - 0.8,
        *(decades - decades[-1] + 3),
        *np.diff(np.sort(decades)),
    ]
    assume(min(map(abs, limits)) > 1e-6)
    return decades
