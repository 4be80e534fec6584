"""Hand-made runs; without it every test of a reporter would spell out the same incidents."""

from typing import Any

import numpy as np

from torchvitals.core.finding import Incident, Remedy, Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.summary import Cost, Coverage, Summary
from torchvitals.core.tables import Table


def vanishing(**changes: Any) -> Incident:
    """A root with everything that an incident can have."""
    given: dict[str, Any] = {
        "code": "TV201",
        "name": "vanishing-gradient",
        "severity": Severity.CRITICAL,
        "where": tuple(f"blocks.{i}.act" for i in range(9)),
        "onset": 0,
        "last_seen": 240,
        "message": "The gradient shrinks by 7.4 decades from the last site, head, to the first, blocks.0.",
        "cause": "sigmoid passes on at most a quarter of the gradient, layer after layer",
        "evidence": {"decades": 7.4123, "sites": 9, "largest_drop": "blocks.4.act"},
        "remedies": (
            Remedy("Use ReLU with He initialisation.", ("activation=relu", "init=he_normal")),
            Remedy("Lower the depth."),
        ),
        "explains": ("TV403",),
        "now": "The gradient shrinks by 6.9 decades.",
    }
    return Incident(**{**given, **changes})


def not_learning(**changes: Any) -> Incident:
    """What follows from `vanishing`."""
    given: dict[str, Any] = {
        "code": "TV403",
        "name": "not-learning",
        "severity": Severity.WARNING,
        "where": ("loss",),
        "onset": 100,
        "last_seen": 240,
        "message": "The loss is no better than guessing (2.304 against ln 10 = 2.303).",
        "cause": "nothing reaches the first layers",
        "explained_by": "TV201",
    }
    return Incident(**{**given, **changes})


def loss_spike(**changes: Any) -> Incident:
    """A piece of news that is no illness."""
    given: dict[str, Any] = {
        "code": "TV401",
        "name": "loss-spike",
        "severity": Severity.INFO,
        "where": (),
        "onset": 80,
        "last_seen": 81,
        "resolved": 90,
        "message": "The loss rose to 4.1 and came back.",
        "cause": "one unusual batch",
    }
    return Incident(**{**given, **changes})


COVERAGE = Coverage(
    steps=240,
    looks=24,
    measured={"activation": 11, "gradient": 20},
    blind=("blocks.3 was compiled before the watch began: its activations were not seen.",),
)
COST = Cost(monitor_seconds=0.41, run_seconds=32.1)


def ill() -> Summary:
    return Summary(
        verdict="ill", incidents=(vanishing(), not_learning(), loss_spike()), coverage=COVERAGE, cost=COST
    )


def healthy() -> Summary:
    return Summary(verdict="healthy", coverage=Coverage(steps=240, looks=24), cost=COST)


def table(kind: str, norms: dict[str, float], *, count: float = 4.0, **columns: Any) -> Table:
    """A table whose rows have these Euclidean norms."""
    size = len(norms)
    given = {
        "count": np.full(size, count),
        "nonfinite": np.zeros(size),
        "sum_sq": np.square(list(norms.values())),
    }
    return Table(kind, tuple(norms), {**given, **columns})


def look(step: int, loss: float = 1.0) -> Snapshot:
    """A step that was looked at closely."""
    gradient = table("gradient", {"fc1.weight": 3.0, "fc2.weight": 4.0})
    return Snapshot(
        step, {"loss": loss, "gradient_norm": 5.0, "lr": 0.1}, {"optimizer": "SGD"}, {"gradient": gradient}
    )


def glance(step: int, loss: float = 1.0) -> Snapshot:
    """A step of which only scalars are known."""
    return Snapshot(step, {"loss": loss})
