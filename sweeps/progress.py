"""Without this file a sweep would be silent until it ends: how each run came out, under every launcher."""

import threading
import time
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from sweeps.plan import Plan
from sweeps.row import FILE, Row, load
from sweeps.words import WIDTH, described, marked

PAUSE = 0.2
"""Seconds between two looks at the folder."""


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
            self._console.print(f"{kept} of {self.plan.total} runs were done before and are kept.")

    def _look(self) -> None:
        for path in sorted(self.folder.glob(f"*/{FILE}"), key=_written):
            if path.parent.name not in self.rows and _written(path) > self._since:
                row = load(path.parent)
                if row is not None:
                    if not self.rows:
                        self._open()
                    self.rows[row.id] = row
                    if not self._is_old(row):
                        self._tell(row)

    def _is_old(self, row: Row) -> bool:
        return row.finished < self._since

    def _open(self) -> None:
        """Not before the first result: a mistake in the command line should leave no trace."""
        self.plan.save(self.folder)
        self._console.print(f"{self.plan.total} runs, kept in {self.folder}/")

    def _tell(self, row: Row) -> None:
        line = Text(f"{len(self.rows):>{len(str(self.plan.total))}}/{self.plan.total}  ")
        for key, values in self.plan.varied.items():
            value = str(row.config.get(key, ""))
            line.append(value.ljust(max(map(len, values)) + 1))
        verdict = marked(row.verdict)
        verdict.pad_right(WIDTH - len(verdict))
        line.append_text(verdict).append(f"  {described(row)}")
        self._console.print(line, no_wrap=True, overflow="ellipsis")


class Reporting(Callback):
    """Starts the watch when Hydra starts a multirun."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        Watch(folder, Plan.of(config)).start()


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
