"""Lights up when something is wrong."""

from torchvitals import Incident, Reporter, Snapshot, Summary


class BeaconReporter(Reporter):
    """Remembers the codes of all incidents."""

    def __init__(self) -> None:
        self.codes: list[str] = []

    def on_snapshot(self, snapshot: Snapshot) -> None:
        pass

    def on_incident(self, incident: Incident) -> None:
        self.codes.append(incident.code)

    def on_close(self, summary: Summary) -> None:
        self.codes.append(summary.verdict)
