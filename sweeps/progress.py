"""Without this file a sweep would be silent until it ends: how each run came out, under every launcher."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from sweeps.plan import Plan
from sweeps.row import FILE, TRACEBACK, Row, load
from sweeps.words import WIDTH, counted, described, marked, named

PAUSE = 0.2
"""Seconds between two looks at the folder."""
LEAST = 20
"""Characters of a line for what a run is, however narrow the terminal."""


class Watch(threading.Thread):
    """Looks at a sweep's folder and tells of each result that appears.

    Files are what all launchers have in common: the parent of parallel jobs hears nothing else of them.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        super().__init__(daemon=True, name=f"watch of {folder}")
        self.folder = folder
        self.plan = plan
        self.rows: dict[str, Row] = {}
        """what this command has run or found done, by id"""
        self._since = time.time()
        self._over = threading.Event()
        self._console = Console(stderr=True, highlight=False)

    @classmethod
    def running(cls) -> "Watch | None":
        """The watch of this process, if a sweep has started one."""
        return next((thread for thread in threading.enumerate() if isinstance(thread, cls)), None)

    def run(self) -> None:
        columns = (BarColumn(24), MofNCompleteColumn(), TextColumn("runs"), TimeElapsedColumn())
        hidden = not self._console.is_terminal
        with Progress(*columns, console=self._console, disable=hidden, transient=True) as bar:
            task = bar.add_task("", total=self.plan.total)
            while not self._over.wait(PAUSE):
                self._look()
                bar.update(task, completed=len(self.rows))
            self._look()

    def finish(self) -> None:
        """Take a last look and leave the terminal as it was."""
        self._over.set()
        self.join()
        if kept := sum(self._is_old(row) for row in self.rows.values()):
            were = "was done before and is kept" if kept == 1 else "were done before and are kept"
            self._console.print(f"{kept} of {counted(self.plan.total, 'run')} {were}.")

    def _look(self) -> None:
        undone = (_undone(row) for row in self._news(TRACEBACK) if row.status == "done")
        for row in (*self._news(FILE), *undone):
            if not self.rows:
                self._open()
            self.rows[row.id] = row
            if not self._is_old(row):
                self._tell(row)

    def _news(self, name: str) -> Iterator[Row]:
        """Rows not seen yet beside files of that name that this command has written, in their order."""
        for path in sorted(self.folder.glob(f"*/{name}"), key=_written):
            if path.parent.name not in self.rows and _written(path) > self._since:
                row = load(path.parent)
                if row is not None:
                    yield row

    def _is_old(self, row: Row) -> bool:
        return row.finished < self._since

    def _open(self) -> None:
        """Not before the first result: a mistake in the command line should leave no trace."""
        self.plan.save(self.folder)
        self._console.print(f"{counted(self.plan.total, 'run')}, kept in {self.folder}/")

    def _tell(self, row: Row) -> None:
        line = Text(f"{len(self.rows):>{len(str(self.plan.total))}}/{self.plan.total}  ")
        for key, values in self.plan.varied.items():
            value = str(row.config.get(key, ""))
            line.append(value.ljust(max(map(len, values)) + 1))
        verdict = marked(row.verdict)
        verdict.pad_right(WIDTH - len(verdict))
        verdict.append(f"  {named(row)}")
        # What varies is in the table again: the diagnosis is what must not be cut.
        line.truncate(max(self._console.width - len(verdict) - 1, LEAST), overflow="ellipsis")
        line.append_text(verdict).append(f"  {described(row)}")
        line.rstrip()
        self._console.print(line, no_wrap=True, overflow="ellipsis")


class Reporting(Callback):
    """Starts the watch when Hydra starts a multirun."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        plan = Plan.of(config)
        # Rows that are there already may belong to another command line of the same name.
        if any(folder.glob(f"*/{FILE}")):
            with suppress(HydraException):  # the sweep will say the same of its mistake, in its own time
                plan = plan.named(config)
        Watch(folder, plan).start()


def _undone(row: Row) -> Row:
    """What to tell of a run that failed where an earlier one had left this result, which stays."""
    error = f"see {row.id}/{TRACEBACK}; an earlier result is kept"
    return replace(row, status="failed", error=error, finished=time.time())


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
