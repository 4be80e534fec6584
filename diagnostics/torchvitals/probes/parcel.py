"""Tables as few bytes that any other process can read: no pickle, so that nothing in them can be run."""

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from torchvitals.core.tables import TEXTS, Table


def packed(tables: Mapping[str, Table], scalars: Mapping[str, float]) -> bytes:
    """Names and words as JSON, numbers as they are in memory, all of it compressed."""
    columns = [
        column for table in tables.values() for name, column in table.columns.items() if name not in TEXTS
    ]
    bits = [row for table in tables.values() for rows in table.units.values() for row in rows]
    head = json.dumps({"tables": [_head(table) for table in tables.values()], "scalars": dict(scalars)})
    body = [column.astype("<f8").tobytes() for column in columns]
    body += [np.packbits(row).tobytes() for row in bits]
    text = head.encode()
    return zlib.compress(b"".join([struct.pack("<I", len(text)), text, *body]), level=1)


def unpacked(parcel: bytes) -> tuple[dict[str, Table], dict[str, float]]:
    """The tables by kind, and the scalars. Raises where that is no parcel."""
    data = zlib.decompress(parcel)
    (length,) = struct.unpack_from("<I", data)
    head = json.loads(data[4 : 4 + length])
    reader = _Reader(data, 4 + length)
    columns = [{name: reader.numbers(len(t["names"])) for name in t["numbers"]} for t in head["tables"]]
    units = [
        {name: tuple(reader.bits(n) for n in lengths) for name, lengths in t["units"].items()}
        for t in head["tables"]
    ]
    tables = {}
    for told, found, bits in zip(head["tables"], columns, units, strict=True):
        words = {name: np.array(column, str) for name, column in told["words"].items()}
        tables[told["kind"]] = Table(told["kind"], tuple(told["names"]), words | found, bits)
    return tables, head["scalars"]


def _head(table: Table) -> dict[str, Any]:
    return {
        "kind": table.kind,
        "names": table.names,
        "words": {name: column.tolist() for name, column in table.columns.items() if name in TEXTS},
        "numbers": [name for name in table.columns if name not in TEXTS],
        "units": {name: [len(row) for row in rows] for name, rows in table.units.items()},
    }


class _Reader:
    """Takes one array after the other, numbers of all tables before bits of all."""

    def __init__(self, data: bytes, start: int) -> None:
        self._data, self._at = data, start

    def numbers(self, count: int) -> np.ndarray:
        found = np.frombuffer(self._data, "<f8", count, self._at)
        self._at += 8 * count
        return found.astype(np.float64)

    def bits(self, count: int) -> np.ndarray:
        length = (count + 7) // 8
        found = np.frombuffer(self._data, np.uint8, length, self._at)
        self._at += length
        return np.unpackbits(found, count=count).astype(bool)
