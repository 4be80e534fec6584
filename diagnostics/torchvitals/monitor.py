"""The engine: due? -> probes -> snapshot -> window -> diagnostics -> incidents -> reporters.

A step as the engine sees it (adapters translate a framework's events into these calls):

    begin(batch) -> [forward, backward] -> micro_step(loss)         once per micro-batch
    gradients_ready() -> [clip] -> before_update() -> [optimizer] -> after_update() -> step_done()
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from torchvitals import registry
from torchvitals.core.errors import FieldError
from torchvitals.core.finding import Finding, Severity, severity_of
from torchvitals.core.protocols import Diagnostic, Reporter
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.summary import Cost, Coverage, Summary, verdict_of
from torchvitals.core.tables import Table
from torchvitals.core.window import Window
from torchvitals.incidents import IncidentBook, worth_judging
from torchvitals.probes.base import Probe
from torchvitals.probes.measurement import Readback
from torchvitals.probes.subject import Subject
from torchvitals.schedule import Schedule

ALWAYS = frozenset({"gradient", "input", "output"})
"""Kinds that are looked at in every step, cheaply; the rest only in due steps."""
ARMED_STEPS = 16
"""Steps that are due whatever the schedule says after an incident opened or became worse."""
MAX_MICRO_BATCHES = 1024
"""Iterations without a step of an optimizer after which what they gave is dropped: memory is bounded."""


@dataclass(frozen=True)
class _Pending:
    """A step whose numbers may still be on their way from the device."""

    step: int
    due: bool
    scalars: Mapping[str, float]
    labels: Mapping[str, str]
    readback: Readback


class Monitor:
    """Watches one training. Everything it does is guarded: a failing part is switched off and reported as
    TV001.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: Iterable[Optimizer] = (),
        *,
        diagnostics: Iterable[str | Diagnostic] | None = None,
        reporters: Iterable[str | Reporter] = (),
        schedule: Schedule | None = None,
        strict: bool = False,
        stop_on: Severity | str | None = None,
    ) -> None:
        self.subject = Subject(model, optimizers)
        self.step = 0
        self._diagnostics = list(registry.resolve(diagnostics))
        self._reporters = list(registry.reporters(reporters))
        self._schedule = _schedule(schedule)
        self._strict = strict
        self._stop_on = severity_of(stop_on)
        self._window = Window()
        self._book = IncidentBook()
        self._failures: dict[str, Finding] = {}
        self._waiting = 0
        self._queue: deque[_Pending] = deque()
        self._losses: list[Tensor | float] = []
        self._measured: dict[str, int] = {}
        self._looks = self._fed = self._iteration = 0
        self._armed_until = -1
        self._ready = self._due = self._closed = False
        self._clipped = "unknown"
        self._began = self._ended = time.perf_counter()
        self._probes = self._start_probes()
        self._open_step()

    # -- moments of a step

    def begin(self, batch: Any = None) -> None:
        """A micro-batch is about to go through the model; `batch` where the adapter knows it."""
        if batch is not None:
            self._each("begin", batch, self._iteration)

    def micro_step(self, loss: Tensor | float | None) -> None:
        """A micro-batch has been backpropagated."""
        with self.subject.clock:
            with self._guard("loss", []):
                if loss is not None:
                    self._losses.append(_number(loss))
            self._iteration += 1
            self._waiting += 1
            if self._waiting % MAX_MICRO_BATCHES == 0:
                self._losses.clear()
                self._each("collect")
            self._each("begin", None, self._iteration)

    def gradients_ready(self, optimizer: Optimizer | None = None, *, clipped: str = "no") -> None:
        """Gradients are what `optimizer` (None: all of them) will consume, but for clipping."""
        with self.subject.clock:
            self._ready, self._clipped = True, clipped
            self.subject.focus(optimizer)
            self._each("gradients_ready", due=self._due)

    def before_update(self) -> None:
        if self._due:
            with self.subject.clock:
                self._each("before_update")

    def after_update(self) -> None:
        if self._due:
            with self.subject.clock:
                self._each("after_update")

    @property
    def gradients_seen(self) -> bool:
        """Whether `gradients_ready` was called in this step."""
        return self._ready

    def step_done(self) -> None:
        """The optimizer has stepped: take the snapshot, open the next step, judge what has arrived."""
        with self.subject.clock:
            self._waiting = 0
            with self._guard("readback", []):
                self._queue.append(self._measure())
            if self._due:
                self._each("disarm")
            self.step += 1
            self._ended = time.perf_counter()
            self._open_step()
            self._drain(wait=False)

    def close(self) -> None:
        """Take in what is still on its way, tell the reporters, and leave no trace on the model."""
        if self._closed:
            return
        self._closed = True
        with self.subject.clock:
            self._drain(wait=True)
            self._each("close")
        for reporter in tuple(self._reporters):
            with self._guard(reporter, self._reporters):
                reporter.on_close(self.summary)

    # -- what is known

    @property
    def summary(self) -> Summary:
        """The run so far."""
        incidents = self._book.incidents
        return Summary(
            verdict=verdict_of(incidents, looks=self._fed, judges=len(self._diagnostics)),
            incidents=incidents,
            coverage=Coverage(
                steps=self.step,
                looks=self._looks,
                measured=dict(self._measured),
                judged=tuple(diagnostic.name for diagnostic in self._diagnostics),
                blind=self._blind(),
            ),
            cost=Cost(monitor_seconds=self.subject.clock.seconds, run_seconds=self._ended - self._began),
        )

    @property
    def stop_reason(self) -> str | None:
        """Why `stop_on` asks for the end of the training, or None."""
        if self._stop_on is None:
            return None
        reached = [i for i in self._book.incidents if i.severity >= self._stop_on and i.resolved is None]
        return f"{reached[0].code} {reached[0].name}: {reached[0].message}" if reached else None

    # -- inside

    def _start_probes(self) -> list[Probe]:
        wanted = ALWAYS.union(*(d.needs for d in self._diagnostics))
        probes = [make() for make in registry.load_all("probe").values()]
        missing = wanted.difference(*(p.provides for p in probes))
        if missing:
            known = sorted(set().union(*(p.provides for p in probes)))
            raise FieldError(
                "needs", sorted(missing), f"kinds that an installed probe provides: {', '.join(known)}"
            )
        chosen = [probe for probe in probes if probe.provides & wanted]
        for probe in chosen:
            probe.start(self.subject, frozenset(probe.provides & wanted))
        return chosen

    def _open_step(self) -> None:
        self._ready = False
        self._losses.clear()
        self._due = self._schedule.due(self.step) or self.step <= self._armed_until
        if self._due:
            self.subject.refresh()
            self._each("arm")

    def _each(self, moment: str, *args: Any, **kwargs: Any) -> None:
        """Call one moment of all probes: of those that take part in every step, or of all in due ones."""
        for probe in tuple(self._probes):
            if self._due or probe.always or moment == "close":
                with self._guard(probe, self._probes):
                    getattr(probe, moment)(*args, **kwargs)

    def _measure(self) -> _Pending:
        measurements = []
        for probe in tuple(self._probes):
            if self._due or probe.always:
                with self._guard(probe, self._probes):
                    measurements.extend(probe.collect())
        tensors = [loss for loss in self._losses if isinstance(loss, Tensor)]
        numbers = [loss for loss in self._losses if not isinstance(loss, Tensor)]
        scalars = {**self.subject.scalars(), "iteration": float(self._iteration)}
        if numbers:
            scalars["loss"] = sum(numbers) / len(numbers)
        on_device = {"loss": sum(tensors[1:], tensors[0]) / len(tensors)} if tensors else {}
        labels = {**self.subject.labels(), "clipped": self._clipped}
        return _Pending(self.step, self._due, scalars, labels, Readback(measurements, on_device))

    def _drain(self, *, wait: bool) -> None:
        while self._queue and (wait or self._queue[0].readback.ready()):
            with self._guard("readback", []):
                self._take_in(self._queue.popleft())

    def _take_in(self, pending: _Pending) -> None:
        tables, scalars = pending.readback.read()
        scalars = {**pending.scalars, **scalars}
        if "gradient" in tables and len(tables["gradient"]):
            scalars["gradient_norm"] = float(tables["gradient"]["sum_sq"].sum() ** 0.5)
        bad = {kind: table for kind, table in tables.items() if _holds_nonfinite(table)}
        if pending.due:
            self._looks += 1
            self._fed += "gradient_norm" in scalars
            self._measured |= {kind: len(table) for kind, table in tables.items()}
        snapshot = Snapshot(
            pending.step, scalars, pending.labels, tables if pending.due else bad, pending.due
        )
        self._window = self._window.add(snapshot)
        self._judge(snapshot)

    def _judge(self, snapshot: Snapshot) -> None:
        findings = list(self._failures.values())  # as long as the part stays off
        if worth_judging(self._window):
            for diagnostic in tuple(self._diagnostics):
                with self._guard(diagnostic, self._diagnostics):
                    findings.extend(map(_checked, diagnostic.diagnose(self._window)))
        news = self._book.follow(findings, snapshot.step, looked=snapshot.judgeable)
        if any(i.severity > Severity.INFO and i.resolved is None for i in news):
            self._armed_until = self.step + ARMED_STEPS
        for reporter in tuple(self._reporters):
            with self._guard(reporter, self._reporters):
                reporter.on_snapshot(snapshot)
                for incident in news:
                    reporter.on_incident(incident)

    @contextmanager
    def _guard(self, part: Any, parts: list[Any]) -> Iterator[None]:
        """Switch `part` off when it raises: a monitor's mistake must never cost a training."""
        try:
            yield
        except Exception as error:
            if self._strict:
                raise
            if part in parts:
                parts.remove(part)
            if isinstance(part, Probe):
                with suppress(Exception):
                    part.close()  # nobody will call it again, and it may have hooks on the model
            failure = _failure(part, error, self.step)
            self._failures.setdefault(failure.where[0], failure)

    def _blind(self) -> tuple[str, ...]:
        sentences = [s for probe in self._probes for s in probe.blind()] if self._looks else []
        sentences += [s for d in self._diagnostics if (s := d.blind(self._window)) is not None]
        if self._waiting >= MAX_MICRO_BATCHES:
            sentences.append(
                f"The last {self._waiting} iterations: no watched optimizer stepped. Was it replaced?"
            )
        if self._looks and not self._fed:
            sentences.append("No parameter had a gradient at any look: nothing was trained, or nobody told.")
        return tuple(dict.fromkeys([*sentences, *(failure.message for failure in self._failures.values())]))


def _schedule(given: Any) -> Schedule:
    if given is not None and not isinstance(given, Schedule):
        raise FieldError("schedule", given, "a torchvitals.Schedule, such as Schedule(every=100), or None")
    return given or Schedule()


def _number(loss: Tensor | float) -> Tensor | float:
    """A loss of any shape as one number, left on its device."""
    return loss.detach().float().mean() if isinstance(loss, Tensor) else float(loss)


def _checked(finding: Any) -> Finding:
    if not isinstance(finding, Finding):
        raise TypeError(f"diagnose gave {finding!r}, which is no Finding")
    return finding


def _holds_nonfinite(table: Table) -> bool:
    return "nonfinite" in table.columns and bool(table["nonfinite"].any())


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")


def _failure(part: Any, error: Exception, step: int) -> Finding:
    what = part if isinstance(part, str) else getattr(part, "name", type(part).__name__)
    return Finding(
        code="TV001",
        name="part-failed",
        severity=Severity.INFO,
        where=(str(what),),
        since=step,
        message=f"{what} raised {type(error).__name__}: {_first_line(error)}. "
        f"It is switched off from step {step} on.",
        cause="a mistake in torchvitals or in a plugin, not in the training",
    )
