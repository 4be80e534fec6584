"""Turns the findings of successive windows into incidents with an onset and an end."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torchvitals.causes import attribute
from torchvitals.core.finding import Finding, Incident, Severity
from torchvitals.core.window import Window

PATIENCE = 3
"""Looks without the finding after which an incident counts as resolved: hysteresis against flicker."""


def worth_judging(window: Window) -> bool:
    """Whether diagnostics have anything new to say: the latest step was due, or a NaN has just come up."""
    if window.latest.due:
        return True
    return window.latest.nonfinite and not (len(window) > 1 and window.snapshots[-2].nonfinite)


@dataclass
class IncidentBook:
    """All incidents of a run; one per code, since one diagnostic's findings are one event seen many times."""

    incidents: tuple[Incident, ...] = ()
    """worst root first, each root followed by what it explains"""
    _open: dict[str, Incident] = field(default_factory=dict)
    _missed: dict[str, int] = field(default_factory=dict)

    def follow(self, findings: Iterable[Finding], step: int, *, looked: bool) -> list[Incident]:
        """Take in what was found at `step` and return the incidents that opened, became worse or ended.

        A step that was not looked at closely, or that overflowed (`looked` is False), can open an incident
        but not resolve one.
        """
        found, seen = dict(self._open), set()
        for finding in findings:
            incident = found.get(finding.code)
            if incident is not None and finding.severity == Severity.INFO < incident.severity:
                continue  # what has become a mere note is over as what it was
            seen.add(finding.code)
            self._missed[finding.code] = 0
            found[finding.code] = _updated(incident, finding, step)
        for code, incident in found.items():
            if looked and code not in seen and incident.resolved is None:
                self._missed[code] = self._missed.get(code, 0) + 1
                if self._missed[code] >= PATIENCE:
                    found[code] = replace(incident, resolved=step)
        if found == self._open:  # as at nearly every step of a healthy run
            return []
        before = {i.code: i for i in self.incidents}
        self._open, self.incidents = found, attribute(found.values())
        return [i for i in self.incidents if _news(before.get(i.code), i)]

    def to_dict(self) -> dict[str, Any]:
        return {"open": [i.to_dict() for i in self._open.values()], "missed": dict(self._missed)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "IncidentBook":
        found = [Incident.from_dict(i) for i in data["open"]]
        return cls(attribute(found), {i.code: i for i in found}, dict(data["missed"]))


def _updated(incident: Incident | None, finding: Finding, step: int) -> Incident:
    """The incident as it was at its worst; where it is as bad as ever, what was said first stands."""
    if incident is None:
        return Incident.opened(finding, step)
    if finding.severity > incident.severity:
        worse = Incident.opened(finding, step)
        return replace(worse, onset=min(incident.onset, finding.since))
    return replace(incident, last_seen=step, resolved=None, now=finding.message)


def _news(before: Incident | None, now: Incident) -> bool:
    return (
        before is None
        or now.severity > before.severity
        or (before.resolved is None) != (now.resolved is None)
    )
