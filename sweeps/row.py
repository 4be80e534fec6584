"""Without this file a run would leave no trace that can be counted: its result, whole or absent."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from torchvitals.core.finding import Incident
from torchvitals.core.snapshot import encode
from torchvitals.core.summary import Summary

FILE = "result.json"
TRACEBACK = "error.txt"


@dataclass(frozen=True, kw_only=True)
class Row:
    """The result of one run. One whose loss became nan is `done` and `diverged`; `failed`: code raised."""

    id: str
    sweep: str
    status: Literal["done", "failed"]
    error: str | None = None
    """one sentence; the traceback is beside the row in error.txt"""
    number: int = 0
    """its place in the sweep that ran it"""
    overrides: tuple[str, ...] = ()
    """as the command line chose them for this run"""
    config: Mapping[str, Any] = field(default_factory=dict)
    """flat: groups by their choice, leaves by their dotted key"""
    metrics: Mapping[str, float] = field(default_factory=dict)
    score: str = "test/loss"
    """the metric to compare runs by"""
    diverged: bool = False
    """whether a loss or a parameter was not finite at the end"""
    stopped: str | None = None
    """why the diagnostics stopped the run, where they were asked to"""
    vitals: Summary | None = None
    """None for a run that nobody watched"""
    steps: int = 0
    step_seconds: float | None = None
    """median over the optimizer steps, monitoring included"""
    wall_seconds: float = 0.0
    finished: float = 0.0
    """seconds since 1970"""
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        if self.status == "failed":
            return "failed"
        return self.vitals.verdict if self.vitals else "not watched"

    @property
    def root(self) -> Incident | None:
        return self.vitals.root if self.vitals else None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON, with verdict and root cause on top for readers who want no more."""
        mine = {name: getattr(self, name) for name in Row.__dataclass_fields__ if name != "vitals"}
        metrics = {key: encode(value) for key, value in self.metrics.items()}
        summary = self.vitals.to_dict() if self.vitals else None
        return {**mine, "metrics": metrics, **asdict(_diagnosis(self)), "vitals": summary}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Row":
        mine = {name: data[name] for name in cls.__dataclass_fields__}
        mine["overrides"] = tuple(data["overrides"])
        mine["metrics"] = {key: float(value) for key, value in data["metrics"].items()}
        mine["vitals"] = Summary.from_dict(data["vitals"]) if data["vitals"] else None
        return cls(**mine)

    def record(self) -> dict[str, Any]:
        """One line of a flat table: no list, no mapping."""
        vitals = self.vitals
        head = {"id": self.id, "sweep": self.sweep, "status": self.status, "error": self.error}
        tail = {
            "incidents": " ".join(i.code for i in vitals.incidents) if vitals else None,
            "steps": self.steps,
            "step_seconds": self.step_seconds,
            "monitor_seconds": vitals.cost.monitor_seconds if vitals else None,
            "monitor_share": vitals.cost.share if vitals else None,
            "wall_seconds": self.wall_seconds,
            "diverged": self.diverged,
            "stopped": self.stopped,
        }
        plain = {k: json.dumps(v) if isinstance(v, list | tuple) else v for k, v in self.config.items()}
        return {**head, **plain, **self.metrics, **asdict(_diagnosis(self)), **tail, **self.versions}


@dataclass(frozen=True)
class _Diagnosis:
    verdict: str
    root_cause: str | None = None
    root_name: str | None = None
    module: str | None = None
    onset: int | None = None


def _diagnosis(row: Row) -> _Diagnosis:
    root = row.root
    if root is None:
        return _Diagnosis(row.verdict)
    return _Diagnosis(row.verdict, root.code, root.name, root.where[0] if root.where else None, root.onset)


def write_whole(path: Path, text: str) -> None:
    """Write a file that other processes see either as it was or complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def save(row: Row, folder: Path) -> None:
    """Leave the row in the run's own folder."""
    write_whole(folder / FILE, json.dumps(row.to_dict(), indent=1, allow_nan=False) + "\n")


def load(folder: Path) -> Row | None:
    """The row of a run's folder, or None when it has none that can be read."""
    try:
        return Row.from_dict(json.loads((folder / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep(row: Row, folder: Path) -> None:
    """Leave the row in its folder, unless it failed and the result of an earlier run is there."""
    before = load(folder)
    if row.status == "done":
        (folder / TRACEBACK).unlink(missing_ok=True)
    elif before is not None and before.status == "done":
        return
    save(row, folder)


def rows_in(sweep: Path) -> Iterator[Row]:
    """All rows of a sweep's folder, in the order of their names."""
    for path in sorted(sweep.glob(f"*/{FILE}")):
        row = load(path.parent)
        if row is not None:
            yield row
