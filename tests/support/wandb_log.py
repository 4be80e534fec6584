"""Reads a `.wandb` log back; without it tests could only hope that W&B wrote what it was given."""

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2 as pb

BLOCK = 32768
HEADER = 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


class CorruptLog(ValueError):
    """A chunk whose checksum is not that of its bytes."""


def records(path: Path) -> Iterator[Any]:
    """Every record of the log, with checksums verified. A tail that was cut off ends it."""
    data = path.read_bytes()
    if data[:4] != b":W&B":
        raise CorruptLog(f"{path} is no .wandb file")
    position, whole = HEADER, b""
    while position + HEADER <= len(data):
        left = BLOCK - position % BLOCK
        if left < HEADER:
            position += left
            continue
        checksum, length, kind = struct.unpack_from("<IHB", data, position)
        chunk = data[position + HEADER : position + HEADER + length]
        if kind == 0 or len(chunk) < length:
            return
        if checksum != zlib.crc32(chunk, zlib.crc32(bytes([kind]))):
            raise CorruptLog(f"{path}: wrong checksum at byte {position}")
        position += HEADER + length
        whole = chunk if kind in (FULL, FIRST) else whole + chunk
        if kind in (FULL, LAST):
            yield pb.Record.FromString(whole)  # type: ignore[attr-defined] - made at run time


def of_kind(path: Path, kind: str) -> list[Any]:
    """The records of one kind: "history", "metric", "alert", "summary", ..."""
    return [getattr(record, kind) for record in records(path) if record.WhichOneof("record_type") == kind]


def history(path: Path) -> list[dict[str, Any]]:
    """Rows as they were logged."""
    return [_values(record.item) for record in of_kind(path, "history")]


def summary(path: Path) -> dict[str, Any]:
    """The summary after all updates."""
    found: dict[str, Any] = {}
    for record in of_kind(path, "summary"):
        found |= _values(record.update)
    return found


def _values(items: Any) -> dict[str, Any]:
    return {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}
