"""Speaks in Weights & Biases; without it runs of a sweep could not be filtered by verdict and root cause."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torchvitals.core.errors import FieldError, TorchvitalsError
from torchvitals.core.finding import Incident, Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.summary import Summary
from torchvitals.reporters.keys import PREFIX, metrics
from torchvitals.reporters.wandb_run import load
from torchvitals.reporters.wandb_table import log_table
from torchvitals.reporters.words import title

if TYPE_CHECKING:
    from wandb import Run

STEP = f"{PREFIX}step"


class NoRun(TorchvitalsError):
    """There is no W&B run to report to, or no longer."""


class WandbReporter:
    """Logs the metric keys on a step axis of their own, one alert for each root incident, and the verdict.

    It writes to `run`, or to the run that is current at the first event, and never finishes it. Steps with
    tables are logged, and of the others one in `every`. A code alerts no more often than once in `cooldown`
    seconds. Where the script logs rows of its own in between, our numbers join them and leave its steps be.
    """

    def __init__(self, run: "Run | None" = None, *, every: int = 10, cooldown: float = 300.0) -> None:
        if not cooldown > 0:  # W&B takes 0 for "not given", which is a minute
            raise FieldError("WandbReporter.cooldown", cooldown, "seconds above 0")
        if every < 1:
            raise FieldError("WandbReporter.every", every, "a whole number from 1")
        load()
        self._given = run
        self._run: Run | None = None
        self._every = every
        self._cooldown = cooldown
        self._alerted: set[str] = set()
        self._row = -1

    def on_resume(self, step: int, incidents: Sequence[Incident]) -> None:
        self._alerted = {i.code for i in incidents if i.resolved is None and self._is_news(i)}

    def on_snapshot(self, snapshot: Snapshot) -> None:
        if not snapshot.tables and snapshot.step % self._every:
            return
        if found := metrics(snapshot):
            self._log({**found, STEP: snapshot.step})

    def on_incident(self, incident: Incident) -> None:
        if incident.resolved is not None:
            self._alerted.discard(incident.code)
        elif self._is_news(incident):
            self._alerted.add(incident.code)
            self._alert(incident)

    def on_close(self, summary: Summary) -> None:
        run = self._current()
        run.summary.update(_summary(summary))
        if summary.incidents:
            log_table(run, summary)

    def _is_news(self, incident: Incident) -> bool:
        root = incident.explained_by is None
        return root and incident.severity > Severity.INFO and incident.code not in self._alerted

    def _alert(self, incident: Incident) -> None:
        levels = load().AlertLevel
        level = levels.ERROR if incident.severity == Severity.CRITICAL else levels.WARN
        # W&B counts the cool-down by title, so it holds no numbers; and it takes fewer than 64 characters.
        name = f"torchvitals: {title(incident)}"[:63]
        self._current().alert(name, _alert_text(incident), level=level, wait_duration=self._cooldown)

    def _current(self) -> "Run":
        if self._run is None:
            run = self._given or load().run
            if run is None:
                raise NoRun("There is no W&B run: call wandb.init() before the training, or pass the run.")
            self._run = _prepared(run)
        return _alive(self._run)

    def _log(self, row: dict[str, Any]) -> None:
        """Add to the open row, or to a new one when that still is the row which we wrote last.

        A plain `run.log(row)` would move the run's step counter each time, and W&B throws away what a script
        logs with a `step=` below it.
        """
        run = self._current()
        open_row = run.step
        if open_row == self._row:
            run.log({}, commit=True)
            open_row += 1
        run.log(row, commit=False)
        self._row = open_row


def _prepared(run: "Run") -> "Run":
    run.define_metric(STEP, hidden=True)
    run.define_metric(f"{PREFIX}*", step_metric=STEP)
    return run


def _alive(run: "Run") -> "Run":
    try:
        run.log({}, commit=False)  # asking a finished run for its step would wait for half a minute
    except load().errors.UsageError as error:
        raise NoRun("The W&B run was finished before the training was: finish it afterwards.") from error
    return run


def _alert_text(incident: Incident) -> str:
    lines = [incident.message, f"Why: {incident.cause}"]
    lines += [f"Try: {remedy.text} {' '.join(remedy.overrides)}".rstrip() for remedy in incident.remedies]
    return "\n".join(lines)


def _summary(summary: Summary) -> dict[str, Any]:
    found: dict[str, Any] = {"verdict": summary.verdict, "cost_share": summary.cost.share}
    found["blind_spots"] = len(summary.coverage.blind)
    if summary.root is not None:
        found |= {"root_cause": title(summary.root), "onset_step": summary.root.onset}
        found |= {"module": summary.root.where[0]} if summary.root.where else {}
    return {PREFIX + name: value for name, value in found.items()}
