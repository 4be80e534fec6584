"""Courses of the loss made by hand, healthy and ill; without it every test would draw its own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from torchvitals.core.finding import Finding, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.tables import Table
from torchvitals.core.window import Window
from torchvitals.schedule import Schedule
from torchvitals.testing import table

Course = Callable[[np.random.Generator, int], np.ndarray]
"""Makes the losses of a run, so many of them."""
SCHEDULE = Schedule()


def run(
    losses: Sequence[float] | np.ndarray,
    *,
    op: str | None = None,
    rates: Sequence[float] | np.ndarray | None = None,
    validation: Mapping[int, float] | None = None,
    norm: float = 1.0,
    factor: float = 1.0,
    tables: Mapping[str, Table] | None = None,
    **loss: Any,
) -> list[Snapshot]:
    """Steps with these losses, looked at as the default schedule says; `loss` are columns of the loss table.

    Validation losses are told at the first look from their step on. `factor` is what a user multiplied the
    loss function's value by, which `losses` already are.
    """
    given, waiting = [], dict(validation or {})
    for step, value in enumerate(map(float, losses)):
        due = SCHEDULE.due(step)
        scalars = {"loss": value, "lr": 0.1 if rates is None else float(rates[step]), "gradient_norm": norm}
        if due and (told := [s for s in waiting if s <= step]):
            scalars["val_loss"] = [waiting.pop(s) for s in sorted(told)][-1]
        seen = {"gradient": table("gradient", ("w",)), **(tables or {})}
        if op is not None and np.isfinite(value):
            seen["loss"] = called(op, value / factor, **loss)
        given.append(Snapshot(step, scalars, {"optimizer": "SGD"}, seen if due else {}, due))
    return given


def called(op: str, value: float, *, count: float = 64, classes: float = 10, **columns: Any) -> Table:
    """One call of a loss function; classes are as many each if `prior` says nothing else."""
    cells = {
        "classes": classes,
        "prior": count * np.log(classes if classes > 1 else 2),
        "target_sum": 0.0,
        "target_sq": count,
        **columns,
    }
    units = max(int(classes), 1)
    return table("loss", (op,), units=units, op=op, count=count, loss_sum=value * count, **cells)


def windows(snapshots: Sequence[Snapshot]) -> Iterator[Window]:
    """The windows of the looks, as the engine makes them."""
    given = Window()
    for snapshot in snapshots:
        given = given.add(snapshot)
        if snapshot.due or snapshot.nonfinite:
            yield given


def findings(diagnostic: Diagnostic, snapshots: Sequence[Snapshot]) -> list[tuple[int, Finding]]:
    """What is found at the looks, with the step of the look."""
    return [(w.latest.step, f) for w in windows(snapshots) for f in diagnostic.diagnose(w)]


def alarms(diagnostic: Diagnostic, snapshots: Sequence[Snapshot]) -> list[tuple[int, Finding]]:
    """The same above INFO."""
    return [(step, f) for step, f in findings(diagnostic, snapshots) if f.severity > Severity.INFO]


def times(losses: Sequence[Snapshot], factor: float) -> list[Snapshot]:
    """The same run with a loss and a validation loss so many times as large."""
    return [
        Snapshot(
            s.step,
            {n: v * factor if n in ("loss", "val_loss") else v for n, v in s.scalars.items()},
            s.labels,
            s.tables,
            s.due,
        )
        for s in losses
    ]


# -- healthy courses


def decay(rng: np.random.Generator, steps: int) -> np.ndarray:
    """Falls exponentially to a floor under the noise of batches."""
    first, last = rng.uniform(1, 8), rng.uniform(0.05, 0.6)
    level = last + (first - last) * np.exp(-np.arange(steps) / rng.uniform(10, 200))
    return level * (1 + 0.15 * red(rng, steps))


def heavy(rng: np.random.Generator, steps: int) -> np.ndarray:
    """The same with batches that are now and then far from the rest."""
    noise = 0.2 * rng.standard_t(2.5, steps)
    return np.abs(decay(rng, steps) * (1 + noise))


def converged(rng: np.random.Generator, steps: int) -> np.ndarray:
    """Comes to nearly 0, where batches differ by powers of ten."""
    level = 2.3 * np.exp(-np.arange(steps) / rng.uniform(5, 40)) + 1e-4
    return level * 10 ** (0.5 * (1 - level / 2.4) * red(rng, steps))


def flat(rng: np.random.Generator, steps: int) -> np.ndarray:
    """Constant but for noise, of any sign."""
    return rng.choice([-2.0, 0.0, 2.0]) + rng.uniform(0.01, 1) * rng.standard_normal(steps)


def likelihood(rng: np.random.Generator, steps: int) -> np.ndarray:
    """Negative log-likelihood of a flow, which falls below 0."""
    return 5 * np.exp(-np.arange(steps) / rng.uniform(20, 150)) - 3 + 0.3 * red(rng, steps)


def policy(rng: np.random.Generator, steps: int) -> np.ndarray:
    """Loss of a policy gradient: wanders, noisy, of any sign."""
    return np.cumsum(0.05 * rng.standard_normal(steps)) + rng.standard_normal(steps)


def returns(rng: np.random.Generator, steps: int) -> np.ndarray:
    """Loss of a policy weighted by its returns, which grow tenfold as it gets better."""
    growth = 1 + 9 / (1 + np.exp(-(np.arange(steps) - steps / 2) / 60))
    return 20 * growth * np.abs(1 + 0.4 * rng.standard_normal(steps))


def players(rng: np.random.Generator, steps: int) -> np.ndarray:
    """Loss of a generator: swings with its opponent."""
    swing = np.sin(np.arange(steps) / rng.uniform(5, 40) + rng.uniform(0, 6)) + 0.4 * red(rng, steps)
    return 0.7 + np.log1p(np.exp(1.5 * swing))


def edge(rng: np.random.Generator, steps: int) -> np.ndarray:
    """Full batches at the edge of stability: to and fro at every step while the level falls."""
    level = 0.2 + 2 * np.exp(-np.arange(steps) / rng.uniform(30, 300))
    return level * (1 + 0.2 * np.minimum(1, np.arange(steps) / 30) * (-1.0) ** np.arange(steps))


def tasks(rng: np.random.Generator, steps: int) -> np.ndarray:
    """A new task at known steps: jumps up to twice the first level and falls again."""
    since = np.arange(steps) % int(rng.integers(100, 400))
    first = np.where(np.arange(steps) == since, 2.3, rng.uniform(2, 5))
    return 0.1 + first * np.exp(-since / rng.uniform(8, 30)) * (1 + 0.1 * red(rng, steps))


def heads(rng: np.random.Generator, steps: int) -> np.ndarray:
    """Two tasks by turns at two levels, both of which are learned."""
    level = np.where(np.arange(steps) % 2 == 0, 4.0, 0.7)
    floor, pace = rng.uniform(0.2, 0.9), rng.uniform(30, 300)
    return level * (floor + (1 - floor) * np.exp(-np.arange(steps) / pace)) + 0.03 * red(rng, steps)


def catapult(rng: np.random.Generator, steps: int) -> np.ndarray:
    """Rises within the first ten steps, and comes down."""
    bump = rng.uniform(2, 40) * np.exp(-((np.arange(steps) - 5) ** 2) / 4)
    return (2.3 + bump) * np.exp(-np.arange(steps) / 100) * (1 + 0.1 * red(rng, steps))


def plateau(rng: np.random.Generator, steps: int) -> np.ndarray:
    """Stays for a hundred steps and then falls."""
    return 2.3 / (1 + np.exp((np.arange(steps) - 100) / 20)) + 0.05 + 0.02 * red(rng, steps)


def recovered(rng: np.random.Generator, steps: int) -> np.ndarray:
    """One spike as Adam makes them, and back within ten steps."""
    since = np.arange(steps) - int(rng.integers(100, steps - 40))
    return decay(rng, steps) + np.where(since >= 0, 5 * np.exp(-np.abs(since) / 5), 0)


def red(rng: np.random.Generator, steps: int, memory: float = 0.5) -> np.ndarray:
    """Noise of deviation 1 that remembers."""
    noise = rng.standard_normal(steps)
    for i in range(1, steps):
        noise[i] = memory * noise[i - 1] + np.sqrt(1 - memory**2) * noise[i]
    return noise


HEALTHY: Mapping[str, Course] = {
    f.__name__: f
    for f in (
        decay, heavy, converged, flat, likelihood, policy, returns, players, edge, tasks, heads, catapult,
        plateau, recovered,
    )
}  # fmt: skip
