"""Without this file the rows of a sweep would stay scattered over its folders: all of them in two files."""

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path

from sweeps.row import Row, write_whole

TABLE = "results.csv"
ROWS = "results.jsonl"


def combine(rows: Iterable[Row], sweep: Path) -> Path:
    """Write `results.csv`, a column for all that any row has, and `results.jsonl`; return the first.

    `pandas.read_csv` reads a missing number as nan, and nan and inf as themselves.
    """
    kept = list(rows)
    records = [row.record() for row in kept]
    columns = list(dict.fromkeys(key for record in records for key in record))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    write_whole(sweep / TABLE, text.getvalue())
    write_whole(sweep / ROWS, "".join(json.dumps(row.to_dict(), allow_nan=False) + "\n" for row in kept))
    return sweep / TABLE
