"""The whole run in one object: verdict, incidents, what could not be seen, and what watching cost."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torchvitals.core.finding import Incident, Severity
from torchvitals.core.start import Start

Verdict = Literal["healthy", "suspect", "ill", "no data"]


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """What was looked at, and in words what was not."""

    steps: int = 0
    looks: int = 0
    """steps at which tables were measured"""
    measured: Mapping[str, int] = field(default_factory=dict)
    """rows of the latest table of each kind"""
    judged: tuple[str, ...] = ()
    """names of the diagnostics that judged to the end"""
    blind: tuple[str, ...] = ()
    """one sentence for each thing that could not be observed, and why"""

    def __str__(self) -> str:
        rows = ", ".join(f"{kind} {n}" for kind, n in self.measured.items())
        seen = f"{self.looks} looks in {self.steps} steps, rows measured: {rows or 'none'}"
        return "\n".join([seen, *(f"not seen: {sentence}" for sentence in self.blind)])


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Host seconds spent in torchvitals' own code, and in the run from the first step to the last."""

    monitor_seconds: float = 0.0
    run_seconds: float = 0.0

    @property
    def share(self) -> float:
        """Monitoring's part of the run, in [0, 1]."""
        return self.monitor_seconds / self.run_seconds if self.run_seconds > 0 else 0.0


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The whole run. `incidents` come worst first, roots before what they explain."""

    verdict: Verdict
    incidents: tuple[Incident, ...] = ()
    coverage: Coverage = field(default_factory=Coverage)
    cost: Cost = field(default_factory=Cost)
    start: Start | None = None
    """the network at the first look; None where nothing was looked at"""
    captures: tuple[str, ...] = ()
    """paths of the captures that a recorder has written"""

    @property
    def root(self) -> Incident | None:
        """The worst incident that follows from no other, above INFO."""
        return next(
            (i for i in self.incidents if i.explained_by is None and i.severity > Severity.INFO), None
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "incidents": [incident.to_dict() for incident in self.incidents],
            "coverage": {
                "steps": self.coverage.steps,
                "looks": self.coverage.looks,
                "measured": dict(self.coverage.measured),
                "judged": list(self.coverage.judged),
                "blind": list(self.coverage.blind),
            },
            "cost": {"monitor_seconds": self.cost.monitor_seconds, "run_seconds": self.cost.run_seconds},
            "start": None if self.start is None else self.start.to_dict(),
            "captures": list(self.captures),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Summary":
        told = data["coverage"]
        coverage = {**told, "judged": tuple(told["judged"]), "blind": tuple(told["blind"])}
        start = data.get("start")  # recordings of earlier versions have none
        return cls(
            verdict=data["verdict"],
            incidents=tuple(Incident.from_dict(i) for i in data["incidents"]),
            coverage=Coverage(**coverage),
            cost=Cost(**data["cost"]),
            start=None if start is None else Start.from_dict(start),
            captures=tuple(data.get("captures", ())),
        )


def verdict_of(incidents: tuple[Incident, ...], *, looks: int, judges: int = 1) -> Verdict:
    """Judge by the worst incident; one that is resolved counts one degree less.

    Without a look that saw a gradient, or without a diagnostic that judged it, the lack of incidents says
    nothing.
    """
    worst = max((i.severity - (i.resolved is not None) for i in incidents), default=0)
    if worst >= Severity.WARNING:
        return "ill" if worst >= Severity.CRITICAL else "suspect"
    return "healthy" if looks and judges else "no data"
