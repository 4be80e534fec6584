"""Hand-made rows; without them every test of a table would train networks."""

from typing import Any

from sweeps.row import Row
from torchvitals.core.finding import Incident, Remedy, Severity
from torchvitals.core.summary import Cost, Coverage, Summary


def vanishing(**changes: Any) -> Incident:
    given: dict[str, Any] = {
        "code": "TV201",
        "name": "vanishing-gradient",
        "severity": Severity.CRITICAL,
        "where": ("network.hidden.0.act", "network.hidden.1.act"),
        "onset": 4,
        "last_seen": 20,
        "message": "It shrinks.",
        "cause": "sigmoid",
        "remedies": (Remedy("Use ReLU.", ("activation=relu",)),),
    }
    return Incident(**{**given, **changes})


def summary(*incidents: Incident) -> Summary:
    verdict = "ill" if incidents else "healthy"
    cost = Cost(monitor_seconds=0.25, run_seconds=1.0)
    return Summary(verdict=verdict, incidents=incidents, coverage=Coverage(steps=20, looks=5), cost=cost)


def row(*incidents: Incident, accuracy: float = 0.9, **changes: Any) -> Row:
    """A row whose configuration is what its overrides say, keyed by them too."""
    overrides = changes.pop("overrides", ("activation=relu", "seed=0"))
    given: dict[str, Any] = {
        "id": "-".join(overrides),
        "sweep": "made",
        "status": "done",
        "overrides": overrides,
        "config": {"init": "he_normal", "optimizer": "adam", **dict(o.split("=") for o in overrides)},
        "metrics": {"test/accuracy": accuracy},
        "score": "test/accuracy",
        "vitals": summary(*incidents),
        "step_seconds": 0.002,
    }
    return Row(**{**given, **changes})
