"""Reads a recording back; without it a finished or killed run could not be judged again."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchvitals.core.errors import TorchvitalsError
from torchvitals.core.finding import Incident
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.summary import Coverage, Summary, verdict_of
from torchvitals.core.tables import TEXTS
from torchvitals.reporters.jsonl import FORMAT


class BadRecording(TorchvitalsError, ValueError):
    """The file is not a recording that can be read."""

    def __init__(self, path: Path, line: int, what: str) -> None:
        super().__init__(f"{path}, line {line}: {what}")


@dataclass(frozen=True)
class Recording:
    """What a recording holds. Incidents are as reported: one that changed is there several times."""

    snapshots: tuple[Snapshot, ...]
    incidents: tuple[Incident, ...]
    summary: Summary | None
    """None when the run was killed or still goes on"""

    def so_far(self) -> Summary:
        """The summary; for a run without an end, what can be said from the events until then."""
        if self.summary is not None:
            return self.summary
        latest = {i.code: i for i in self.incidents}
        incidents = tuple(sorted(latest.values(), key=lambda i: (-i.severity, i.onset)))
        looks = [s for s in self.snapshots if s.tables]
        last = self.snapshots[-1].step if self.snapshots else -1
        coverage = Coverage(
            steps=last + 1,
            looks=len(looks),
            measured={kind: len(table) for kind, table in looks[-1].tables.items()} if looks else {},
            blind=(
                f"The recording ends at step {last}, before the run was closed: killed, or still going on.",
            ),
        )
        return Summary(
            verdict=verdict_of(incidents, looks=len(looks)), incidents=incidents, coverage=coverage
        )


def read(path: str | Path) -> Recording:
    """Read a recording. A last line that was cut off is left out; all else wrong raises `BadRecording`."""
    path = Path(path)
    found: dict[str, list[Any]] = {"header": [], "snapshot": [], "incident": [], "close": []}
    for number, data in _objects(path):
        kind = data.pop("type", None)
        if kind not in found:
            raise BadRecording(path, number, f"unknown type {kind!r}; known: {', '.join(found)}")
        if number == 1 and kind != "header":
            raise BadRecording(path, number, "not a torchvitals recording: the first line is no header")
        try:
            found[kind].append(_READ[kind](data))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadRecording(path, number, f"not a {kind}: {type(error).__name__}: {error}") from error
    if not found["header"]:
        raise BadRecording(path, 1, "empty: no run was recorded")
    summary = found["close"][-1] if found["close"] else None
    return Recording(tuple(found["snapshot"]), tuple(found["incident"]), summary)


def _objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        cut_off = number == len(lines)  # what comes before a line feed is whole
        if cut_off and not line:
            return
        try:
            data = json.loads(line)
        except ValueError as error:
            if cut_off and number > 1:
                return
            raise BadRecording(path, number, f"not JSON: {error}") from error
        if not isinstance(data, dict):
            raise BadRecording(path, number, "not a JSON object")
        yield number, data


def _header(data: Mapping[str, Any]) -> None:
    if data["format"] != FORMAT:
        raise ValueError(
            f"format {data['format']!r} of torchvitals {data.get('torchvitals')}, this one reads {FORMAT}"
        )


def _snapshot(data: Mapping[str, Any]) -> Snapshot:
    tables = {
        kind: {**table, "columns": {name: _column(name, column) for name, column in table["columns"].items()}}
        for kind, table in data["tables"].items()
    }
    return Snapshot.from_dict({**data, "tables": tables})


def _column(name: str, column: list[Any]) -> list[Any]:
    """Texts in a column of numbers are nan and inf."""
    return column if name in TEXTS else [float(value) for value in column]


_READ = {"header": _header, "snapshot": _snapshot, "incident": Incident.from_dict, "close": Summary.from_dict}
