"""Logs the table of incidents; without it W&B would show that a run is ill and not why."""

import threading
from typing import TYPE_CHECKING

from torchvitals.core.summary import Summary
from torchvitals.reporters.keys import PREFIX
from torchvitals.reporters.wandb_run import load
from torchvitals.reporters.words import numbers

if TYPE_CHECKING:
    from wandb import Run, Table

TABLE_SECONDS = 10.0
COLUMNS = (
    *("severity", "code", "name", "where", "onset", "last_seen", "resolved", "explained_by"),
    *("message", "cause", "evidence", "remedies"),
)


def log_table(run: "Run", summary: Summary) -> None:
    """Log the table of incidents into the open row. Online that asks the server first, so it gets a limit."""
    failures: list[BaseException] = []
    table = _table(summary)

    def upload() -> None:
        try:
            run.log({f"{PREFIX}incidents": table}, commit=False)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=upload, daemon=True)
    thread.start()
    thread.join(TABLE_SECONDS)
    if thread.is_alive() or failures:
        reason = failures[0] if failures else f"no answer within {TABLE_SECONDS:.0f} s"
        load().termwarn(f"torchvitals: the table of incidents was not uploaded: {reason}")


def _table(summary: Summary) -> "Table":
    table = load().Table(columns=list(COLUMNS))
    for incident in summary.incidents:
        remedies = "; ".join(" ".join((r.text, *r.overrides)) for r in incident.remedies)
        words = {
            "where": ", ".join(incident.where),
            "evidence": numbers(incident.evidence),
            "remedies": remedies,
        }
        cells = {**incident.to_dict(), **words}
        table.add_data(*(cells[name] for name in COLUMNS))
    return table
