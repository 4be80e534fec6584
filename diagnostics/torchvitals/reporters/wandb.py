"""Speaks in Weights & Biases; without it runs of a sweep could not be filtered by verdict and root cause."""

from typing import TYPE_CHECKING, Any

from torchvitals.core.errors import FieldError, MissingExtra, TorchvitalsError
from torchvitals.core.finding import Incident, Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.summary import Summary
from torchvitals.reporters.keys import PREFIX, metrics
from torchvitals.reporters.words import numbers, title

if TYPE_CHECKING:
    from wandb import Run, Table

STEP = f"{PREFIX}step"


class NoRun(TorchvitalsError):
    """There is no W&B run to report to."""

    def __init__(self) -> None:
        super().__init__("There is no W&B run. Call wandb.init() before the training, or give WandbReporter(run).")


class WandbReporter:
    """Logs the metric keys on a step axis of their own, one alert for each root incident, and the verdict.

    It writes to `run`, or to the run that is current at the first event, and never finishes it. Steps with tables are
    logged, and of the others one in `every`. A code alerts no more often than once in `cooldown` seconds.
    Where the script logs rows of its own in between, our numbers join its rows, so that its step counter stays its
    own.
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
        self._alerted: set[tuple[str, int]] = set()
        self._row = -1

    def on_snapshot(self, snapshot: Snapshot) -> None:
        if not snapshot.tables and snapshot.step % self._every:
            return
        if found := metrics(snapshot):
            self._log({**found, STEP: snapshot.step})

    def on_incident(self, incident: Incident) -> None:
        key = (incident.code, incident.onset)
        root = incident.explained_by is None and incident.resolved is None
        if not root or incident.severity == Severity.INFO or key in self._alerted:
            return
        self._alerted.add(key)
        level = load().AlertLevel.ERROR if incident.severity == Severity.CRITICAL else load().AlertLevel.WARN
        # W&B counts the cool-down by title: no numbers in it.
        self._current().alert(
            title=f"torchvitals: {title(incident)}",
            text=_alert(incident),
            level=level,
            wait_duration=self._cooldown,
        )

    def on_close(self, summary: Summary) -> None:
        if summary.incidents:
            self._log({f"{PREFIX}incidents": _table(summary)})
        self._current().summary.update(_summary(summary))

    def _current(self) -> "Run":
        if self._run is None:
            run = self._given or load().run
            if run is None:
                raise NoRun
            run.define_metric(STEP, hidden=True)
            run.define_metric(f"{PREFIX}*", step_metric=STEP)
            self._run = run
        return self._run

    def _log(self, row: dict[str, Any]) -> None:
        """Add to the open row. If nobody has closed the one that we wrote last, close it first.

        `run.log(row)` would move the run's step counter, and W&B throws away what a script logs with `step=` below it.
        """
        run = self._current()
        if run.step == self._row:
            run.log({}, commit=True)
        run.log(row, commit=False)
        self._row = run.step


def load() -> Any:
    """The wandb package, or `MissingExtra`."""
    try:
        import wandb
    except ImportError as error:
        raise MissingExtra("wandb", "wandb") from error
    if not hasattr(wandb, "init"):  # a folder `wandb/` of old runs is importable too
        raise MissingExtra("wandb", "wandb")
    return wandb


def _alert(incident: Incident) -> str:
    lines = [incident.message, f"Why: {incident.cause}"]
    lines += [f"Try: {remedy.text} {' '.join(remedy.overrides)}".rstrip() for remedy in incident.remedies]
    return "\n".join(lines)


def _table(summary: Summary) -> "Table":
    columns = ("severity", "code", "name", "where", "onset", "last_seen", "resolved", "explained_by", "message")
    more = ("cause", "evidence", "remedies")
    table = load().Table(columns=[*columns, *more])
    for i in summary.incidents:
        plain = {**i.to_dict(), "where": ", ".join(i.where)}
        remedies = "; ".join(" ".join((r.text, *r.overrides)) for r in i.remedies)
        table.add_data(*(plain[name] for name in columns), i.cause, numbers(i.evidence), remedies)
    return table


def _summary(summary: Summary) -> dict[str, Any]:
    found: dict[str, Any] = {"verdict": summary.verdict, "cost_share": summary.cost.share}
    if summary.root is not None:
        found |= {"root_cause": title(summary.root), "onset_step": summary.root.onset}
        found |= {"module": summary.root.where[0]} if summary.root.where else {}
    return {PREFIX + name: value for name, value in found.items()}
