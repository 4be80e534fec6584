"""What diagnostics say, and what becomes of it over time."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import IntEnum
from typing import Any

from torchvitals.core.errors import FieldError
from torchvitals.core.snapshot import encode


class Severity(IntEnum):
    """How bad it is. A healthy run has nothing above INFO."""

    INFO = 1
    WARNING = 2
    CRITICAL = 3


def severity_of(value: Severity | str | None) -> Severity | None:
    """A severity given as such or by name in any case."""
    if value is None or isinstance(value, Severity):
        return value
    if isinstance(value, str) and value.upper() in Severity.__members__:
        return Severity[value.upper()]
    raise FieldError("stop_on", value, f"None, or one of {', '.join(Severity.__members__)}")


@dataclass(frozen=True)
class Remedy:
    """What to change: a sentence, and the Hydra overrides that do it in a sweep where there are any."""

    text: str
    overrides: tuple[str, ...] = ()


Evidence = Mapping[str, float | int | str]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One judgement of one window."""

    code: str
    name: str
    severity: Severity
    where: tuple[str, ...]
    """sites or parameters, worst first"""
    since: int
    """first step from which the evidence shows it"""
    message: str
    """one sentence with the numbers"""
    cause: str
    """why, in a few words"""
    evidence: Evidence = field(default_factory=dict)
    remedies: tuple[Remedy, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Incident:
    """A finding followed through time, as it was when it was worst; `now` is what was found last."""

    code: str
    name: str
    severity: Severity
    where: tuple[str, ...]
    onset: int
    """first step that shows it"""
    last_seen: int
    """last step at which it was found"""
    resolved: int | None = None
    """step at which it had stayed away for long enough, or None while it lasts"""
    message: str
    cause: str
    evidence: Evidence = field(default_factory=dict)
    remedies: tuple[Remedy, ...] = ()
    explains: tuple[str, ...] = ()
    """codes of the incidents that follow from this one"""
    explained_by: str | None = None
    """code of the incident that this one follows from; None for a root"""
    now: str = ""
    """the latest message"""

    @classmethod
    def opened(cls, finding: Finding, step: int) -> "Incident":
        shared = {name: getattr(finding, name) for name in Finding.__dataclass_fields__ if name != "since"}
        return cls(**shared, onset=finding.since, last_seen=step, now=finding.message)

    def to_dict(self) -> dict[str, Any]:
        evidence = {name: _told(value) for name, value in self.evidence.items()}
        return {**asdict(replace(self, evidence={})), "severity": self.severity.name, "evidence": evidence}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Incident":
        return cls(
            **{
                **data,
                "severity": Severity[data["severity"]],
                "where": tuple(data["where"]),
                "explains": tuple(data["explains"]),
                "evidence": {name: _heard(value) for name, value in data["evidence"].items()},
                "remedies": tuple(Remedy(r["text"], tuple(r["overrides"])) for r in data["remedies"]),
            }
        )


def _told(value: float | int | str) -> Any:
    """Marked as a number where it is nan or inf, since evidence holds words such as "nan" too."""
    return {"float": encode(value)} if isinstance(value, float) and not math.isfinite(value) else value


def _heard(value: Any) -> float | int | str:
    return float(value["float"]) if isinstance(value, Mapping) else value
