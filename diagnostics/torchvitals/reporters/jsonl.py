"""Records a run, one JSON object a line; without it nothing of a run would be left to judge again."""

import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TextIO

from torchvitals.core.errors import FieldError
from torchvitals.core.finding import Incident
from torchvitals.core.snapshot import Snapshot, encode
from torchvitals.core.summary import Summary

FORMAT = 1


class JsonlReporter:
    """Records snapshots, incidents and the summary, so that `torchvitals replay` can judge the run again.

    A snapshot with tables is always written. Of the others, which hold little more than the loss, one in
    `every` is, and the first whose loss stops being finite; `every=1` keeps all, so that rules on the loss
    replay exactly. Each line is on disk when its event is over: a killed process loses at most the line that
    it was writing. The file is opened at the first event, and an older one of that name is replaced; unless
    the run was resumed from a checkpoint: then it goes on there, without what came after the checkpoint.
    Raises `FieldError` at once where no file can be written.
    """

    def __init__(self, path: str | Path, *, every: int = 10) -> None:
        self.path = Path(path).absolute()
        if obstacle := _obstacle(self.path):
            raise FieldError("JsonlReporter.path", str(path), obstacle)
        if every < 1:
            raise FieldError("JsonlReporter.every", every, "a whole number from 1")
        self._every = every
        self._light = 0
        self._finite = True
        self._file: TextIO | None = None
        self._mode: Literal["w", "a"] = "w"

    def on_resume(self, step: int, incidents: Sequence[Incident]) -> None:
        if self._file is None and self._mode == "w" and self.path.exists():
            self._mode = "a" if cut(self.path, step) else "w"

    def on_snapshot(self, snapshot: Snapshot) -> None:
        finite = snapshot.loss is None or math.isfinite(snapshot.loss)
        news = finite != self._finite
        self._finite = finite
        if not snapshot.tables:
            self._light += 1
            if not news and (self._light - 1) % self._every:
                return
        self._write("snapshot", snapshot.to_dict())

    def on_incident(self, incident: Incident) -> None:
        self._write("incident", incident.to_dict())

    def on_close(self, summary: Summary) -> None:
        self._write("close", summary.to_dict())
        if self._file is not None:
            self._file.close()
        # A second training with the same reporter goes on in the same file.
        self._file, self._mode = None, "a"

    def _write(self, kind: str, data: Mapping[str, Any]) -> None:
        if self._file is None:
            self._file = self._open()
        self._file.write(_line({"type": kind, **data}))

    def _open(self) -> TextIO:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open(self._mode, encoding="ascii", buffering=1)
        if self._mode == "w":
            file.write(_line({"type": "header", "format": FORMAT, **_versions(), "every": self._every}))
        return file


def cut(path: Path, step: int) -> bool:
    """Take from a recording what came at or after `step`, and its end; False if it is none of ours."""
    kept = 0
    with path.open("rb+") as file:
        for number, line in enumerate(file):
            try:
                data = json.loads(line)
                kind, at = data["type"], data.get("step", -1)
            except (ValueError, KeyError, TypeError, AttributeError):
                break  # the line that a killed process was writing
            if (number == 0) != (kind == "header") or (number == 0 and data.get("format") != FORMAT):
                break
            if kind == "close" or not line.endswith(b"\n") or at >= step:
                break
            kept += len(line)
        if kept:
            file.truncate(kept)
    return kept > 0


def _obstacle(path: Path) -> str:
    """What to give instead of a path at which no file can be written; nothing is created to find out."""
    if os.path.isdir(path):  # pathlib's own would raise where a folder above may not be searched
        return "a file, this is a folder"
    if os.path.exists(path):
        return "" if os.access(path, os.W_OK) else "a file that may be written, this one is read-only"
    folder = next(parent for parent in path.parents if os.path.exists(parent))
    if not folder.is_dir():
        return f"a file in a folder, {folder} is a file"
    writable = os.access(folder, os.W_OK | os.X_OK)
    return "" if writable else f"a file in a folder that may be written to, {folder} may not"


def _versions() -> dict[str, str]:
    packages = {name: version(name) for name in ("torchvitals", "torch", "numpy")}
    return {**packages, "python": platform.python_version()}


def _line(data: Mapping[str, Any]) -> str:
    try:
        text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError):  # rare, and looking at each of 100 000 numbers in Python is slow
        text = json.dumps(_plain(data), allow_nan=False, separators=(",", ":"))
    return text + "\n"


def _plain(value: Any) -> Any:
    """Only what standard JSON has: nan and inf become text, numpy's numbers Python's."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if hasattr(value, "item"):
        value = value.item()
    return encode(value) if isinstance(value, float) else value
