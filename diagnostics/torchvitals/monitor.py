"""The engine: due? -> probes -> snapshot -> window -> diagnostics -> incidents -> reporters.

A step as the engine sees it (adapters translate a framework's events into these calls):

    begin(batch) -> [forward] -> objective(loss) -> [backward] -> micro_step(loss)      once per micro-batch
    gradients_ready() -> [clip] -> before_update() -> [optimizer] -> after_update() -> step_done()

Where the loss comes with its graph, and only after the backward pass, `micro_step` alone will do.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn
from torch._C import DisableTorchFunction as Unseen  # by torch-function modes: the user's, and our own
from torch.optim import Optimizer

from torchvitals import registry
from torchvitals.checkpoint import Unreadable, packed, unpacked
from torchvitals.core.errors import FieldError
from torchvitals.core.finding import Severity, severity_of
from torchvitals.core.protocols import Diagnostic, Reporter
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.summary import Cost, Summary
from torchvitals.core.tables import Table
from torchvitals.guard import Guard
from torchvitals.judge import Judge
from torchvitals.probes.base import Probe
from torchvitals.probes.exchange import Exchange
from torchvitals.probes.measurement import Readback
from torchvitals.probes.parameters import GradientProbe
from torchvitals.probes.reduce import host
from torchvitals.probes.scaler import Scaler, calling_scaler, overflow
from torchvitals.probes.shards import is_partial, local
from torchvitals.probes.subject import Subject, records_graph
from torchvitals.recorder import Recorder, RecorderProbe, recorder_of
from torchvitals.schedule import Schedule

ALWAYS = frozenset({"gradient", "input", "output"})
"""Kinds that are looked at in every step, cheaply; the rest only in due steps."""
ARMED_STEPS = 16
"""Steps that are due whatever the schedule says after an incident opened or became worse."""
OVERFLOW = "overflow"
"""Name under which it comes home whether a fused optimizer skipped its step."""
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
    shared: bool
    """whether the other ranks looked at it too, by the schedule"""


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
        scaler: Any = None,
        wrapper: nn.Module | None = None,
        recorder: Recorder | str | os.PathLike[str] | None = None,
    ) -> None:
        self.subject = Subject(model, optimizers, wrapper=wrapper)
        self._exchange = Exchange(self.subject)
        self.scaler = Scaler(scaler) if scaler is not None else None
        self.step = 0
        self._guard = Guard(strict=strict)
        self._judge = Judge(registry.resolve(diagnostics), registry.reporters(reporters), guard=self._guard)
        self._schedule = _schedule(schedule)
        self._stop_on = severity_of(stop_on)
        self._queue: deque[_Pending] = deque()
        self._losses: list[Tensor | float] = []
        self._overflows: list[Tensor | float] = []
        self._val_loss: Tensor | float | None = None
        self._iteration = self._waiting = 0
        self._armed_until = -1
        self._ready = self._due = self._closed = self._recorded = False
        self._clipped = "unknown"
        self._taking: dict[tuple[str, bool, int], tuple[tuple[Probe, Callable[..., Any]], ...]] = {}
        self._notes: list[str] = []
        self._began = self._ended = time.perf_counter()
        self._probes = self._start_probes()
        self._recorder = self._start_recorder(recorder_of(recorder))
        self._open_step()

    # -- moments of a step

    def begin(self, batch: Any = None) -> None:
        """A micro-batch is about to go through the model; `batch` where the adapter knows it."""
        if batch is not None:
            with self.subject.clock, Unseen():
                self._each("begin", batch, self._iteration)

    def objective(self, loss: Tensor | float | None) -> None:
        """The loss of a micro-batch, if with its graph: what depends on what can be read from it."""
        if isinstance(loss, Tensor) and loss.grad_fn is not None:
            with self.subject.clock, Unseen():
                self._each("objective", loss)

    def validation(self, loss: Tensor | float) -> None:
        """A loss on data that was not trained on; the next snapshot tells it."""
        if self._records_graph():
            return
        with self.subject.clock, Unseen(), self._guard.over("validation loss"):
            self._val_loss = _number(loss)

    def micro_step(self, loss: Tensor | float | None, *, ends: bool = True) -> None:
        """A micro-batch has been backpropagated; `ends` unless more steps are made with the same batch."""
        if self._records_graph():
            return
        if isinstance(loss, Tensor) and is_partial(loss):
            loss = None  # a summand, of which the other ranks have the rest
        self.objective(loss)
        with self.subject.clock, Unseen():
            with self._guard.over("loss"):
                if loss is not None:
                    self._losses.append(_number(loss))
            if not ends:
                return
            self._iteration += 1
            self._waiting += 1
            if self._waiting % MAX_MICRO_BATCHES == 0:
                self._losses.clear()
                self._each("collect")
            self._each("begin", None, self._iteration)

    def gradients_ready(
        self, optimizer: Optimizer | None = None, *, clipped: str = "no", unscaled: bool = False
    ) -> None:
        """Gradients are what `optimizer` (None: all of them) will consume, but for clipping and, unless
        `unscaled`, for the division by what the scaler says. Where they are read twice the last time counts.
        """
        with self.subject.clock, Unseen():
            self._ready, self._clipped, self.subject.unscaled = True, clipped, unscaled
            self.subject.focus(optimizer)
            self._each("gradients_ready", due=self._due)

    def before_update(self, optimizer: Optimizer) -> None:
        with self.subject.clock, Unseen():
            self._each("stepping", optimizer)
            with self._guard.over("scaler"):
                self._meet_scaler(optimizer)
            if self._due:
                self._each("before_update")

    def after_update(self, optimizer: Optimizer) -> None:
        with self.subject.clock, Unseen():
            self._each("stepped", optimizer)
            if self._due:
                self._each("after_update")

    @property
    def gradients_seen(self) -> bool:
        """Whether `gradients_ready` was called in this step."""
        return self._ready

    def step_done(self, **labels: str) -> None:
        """The optimizer has stepped: take the snapshot, open the next step, judge what has arrived. `labels`
        say why if it has not: skipped="scaler" or stepped="no".
        """
        if self._records_graph():
            return
        with self.subject.clock, Unseen():
            self._waiting = 0
            with self._guard.over("readback"):
                self._queue.append(self._measure(labels))
            if self._due:
                self._each("disarm")
            self.step += 1
            self._guard.step = self.step
            self._ended = time.perf_counter()
            self._open_step()
            self._drain(wait=False)

    def close(self) -> None:
        """Take in what is still on its way, tell the reporters, and leave no trace on the model."""
        if self._closed:
            return
        self._closed = True
        with self.subject.clock, Unseen():
            self._drain(wait=True)
            self._each("close")
        self._judge.close(self.summary)

    # -- over the end of a process

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on between two steps; empty where taking it failed."""
        with self.subject.clock, Unseen(), self._guard.over("checkpoint"):
            self._drain(wait=True)
            return packed(self._state())
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; one that cannot be read costs a sentence in coverage. Raises `FieldError` after
        the first step.
        """
        if self.step or self._closed:
            raise FieldError("load_state_dict at step", self.step, "a watch that has not seen a step yet")
        with self.subject.clock, Unseen():
            self._each("disarm")
            with self._guard.over("checkpoint"):
                try:
                    self._restore(unpacked(state))
                except Unreadable as error:
                    self.note(
                        f"Steps before the training was resumed: their record is not read, since {error}."
                    )
            self._open_step()

    def note(self, sentence: str) -> None:
        """Something could not be observed, for a reason that only the adapter knows."""
        if sentence not in self._notes:
            self._notes.append(sentence)

    # -- what is known

    @property
    def summary(self) -> Summary:
        """The run so far."""
        cost = Cost(monitor_seconds=self.subject.clock.seconds, run_seconds=self._ended - self._began)
        captures = self._recorder.written if self._recorder is not None else ()
        told = self._judge.summary(steps=self.step, blind=self._blind())
        return replace(told, cost=cost, captures=captures)

    @property
    def stop_reason(self) -> str | None:
        """Why `stop_on` asks for the end of the training, or None. Of several ranks the first one decides,
        and all end after the same step.
        """
        if self._stop_on is None:
            return None
        reached = [i for i in self._judge.incidents if i.severity >= self._stop_on and i.resolved is None]
        why = f"{reached[0].code} {reached[0].name}: {reached[0].message}" if reached else None
        return self._exchange.agreed(why, self.step)

    # -- inside

    def _start_probes(self) -> list[Probe]:
        wanted = ALWAYS.union(*(d.needs for d in self._judge.diagnostics))
        probes = [make() for make in registry.load_all("probe").values()]
        missing = wanted.difference(*(p.provides for p in probes))
        if missing:
            known = sorted(set().union(*(p.provides for p in probes)))
            raise FieldError(
                "needs", sorted(missing), f"kinds that an installed probe provides: {', '.join(known)}"
            )
        chosen = [probe for probe in probes if probe.provides & wanted]
        for probe in tuple(chosen):
            probe.scaler = self.scaler
            with self._guard.over(probe, chosen):
                probe.start(self.subject, frozenset(probe.provides & wanted))
        return chosen

    def _start_recorder(self, recorder: Recorder | None) -> RecorderProbe | None:
        if recorder is None:
            return None
        probe = recorder.probe()
        probe.gradients = next((p for p in self._probes if isinstance(p, GradientProbe)), None)
        self._probes.append(probe)  # the last: it asks the others what they have found
        with self._guard.over(probe, self._probes):
            probe.start(self.subject, frozenset())
        return probe

    def _open_step(self) -> None:
        self._ready = False
        self._losses.clear()
        self.subject.step, self.subject.scheduled = self.step, self._schedule.due(self.step)
        self._due = self.subject.scheduled or self.step <= self._armed_until
        if self._due:
            self.subject.refresh()
            self._exchange.refresh()
            self._each("arm")

    def _each(self, moment: str, *args: Any, **kwargs: Any) -> None:
        """Call one moment of all probes: of those that take part in every step, or of all in due ones."""
        if self._records_graph() and moment != "close":
            return
        for probe, call in self._takers(moment):
            try:
                call(*args, **kwargs)
            except Exception as error:
                self._guard.failed(error, probe, self._probes)

    def _takers(self, moment: str) -> tuple[tuple[Probe, Callable[..., Any]], ...]:
        """Probes that have something to do at a moment, with what they do; remembered until one is switched
        off, since most have nothing to do at most moments of most steps.
        """
        key = moment, self._due, len(self._probes)
        if key not in self._taking:
            self._taking[key] = tuple(
                (probe, getattr(probe, moment))
                for probe in self._probes
                if moment == "close"
                or (
                    (self._due or probe.always) and getattr(type(probe), moment) is not getattr(Probe, moment)
                )
            )
        return self._taking[key]

    def _records_graph(self) -> bool:
        """Whether to stay out, since a CUDA graph is being recorded."""
        now = records_graph()
        self._recorded |= now
        return now

    def _meet_scaler(self, optimizer: Optimizer) -> None:
        """Learn of a scaler that calls the optimizer without our having been told, and of what it does to a
        fused one.
        """
        if self.scaler is None and (scaler := calling_scaler()) is not None:
            self.scaler = Scaler(scaler)
            for probe in self._probes:
                probe.scaler = self.scaler
        if (found := overflow(optimizer)) is not None:
            self._overflows.append(found)

    def _measure(self, labels: Mapping[str, str]) -> _Pending:
        measurements = []
        for probe, collect in self._takers("collect"):
            try:
                probe.check()
                measurements.extend(collect())
            except Exception as error:
                self._guard.failed(error, probe, self._probes)
        told = {
            "loss": _mean(self._losses),
            "loss_scale": self.scaler.scale() if self.scaler is not None else None,
            "val_loss": self._val_loss,
            OVERFLOW: _mean(self._overflows),
        }
        self._val_loss = None
        self._overflows.clear()
        on_device = {name: value for name, value in told.items() if isinstance(value, Tensor)}
        scalars = {**self.subject.scalars(), "iteration": float(self._iteration)}
        scalars |= {name: v for name, v in told.items() if v is not None and not isinstance(v, Tensor)}
        labels = {**self.subject.labels(), "clipped": self._clipped, **labels}
        if off := self._guard.off:  # what is absent then was not looked for
            labels["off"] = "+".join(off)
        readback = Readback(measurements, on_device)
        return _Pending(self.step, self._due, scalars, labels, readback, self.subject.scheduled)

    def _drain(self, *, wait: bool) -> None:
        while self._queue and (wait or self._arrived(self._queue[0])):
            if wait and self._queue[0].shared:
                self._exchange.linger(self._queue[0].step)
            with self._guard.over("readback"):
                self._take_in(self._queue.popleft())

    def _arrived(self, pending: _Pending) -> bool:
        """Whether its numbers are here, and those of the other ranks or no more hope of them."""
        if not pending.readback.ready():
            return False
        return not pending.shared or self._exchange.arrived(pending.step, now=self.step)

    def _take_in(self, pending: _Pending) -> None:
        tables, scalars = pending.readback.read()
        tables, scalars, labels = self._exchange.merge(
            pending.step, tables, {**pending.scalars, **scalars}, shared=pending.shared
        )
        skipped = {"skipped": "scaler"} if scalars.pop(OVERFLOW, 0.0) else {}
        labels = {**pending.labels, **labels, **skipped}
        # Without the parts that lie on other ranks, or whose sum is still to come, nobody knows the norm.
        whole = labels.get("sharded", "merged") == "merged"
        if whole and "gradient" in tables and len(tables["gradient"]):
            scalars["gradient_norm"] = float(tables["gradient"]["sum_sq"].sum() ** 0.5)
        if not pending.due:
            tables = {kind: table for kind, table in tables.items() if _holds_nonfinite(table)}
        news = self._judge.take_in(Snapshot(pending.step, scalars, labels, tables, pending.due))
        if any(i.severity > Severity.INFO and i.resolved is None for i in news):
            self._armed_until = self.step + ARMED_STEPS
        if self._recorder in self._probes:
            with self._guard.over(self._recorder, self._probes):
                self._recorder.judged(news, self._judge)

    def _state(self) -> dict[str, Any]:
        parts = {}
        for probe in tuple(self._probes):
            with self._guard.over(probe, self._probes):
                parts[probe.name] = probe.state()
        return {
            "step": self.step,
            "iteration": self._iteration,
            "armed_until": self._armed_until,
            "val_loss": None if self._val_loss is None else float(self._val_loss),
            "notes": self._notes,
            "seconds": self.subject.clock.seconds,
            "run_seconds": self._ended - self._began,
            "order": self.subject.order,
            "probes": parts,
            "judge": self._judge.state(),
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        if missing := self._state().keys() - state.keys():
            raise Unreadable(f"it lacks {', '.join(sorted(missing))}")
        self._judge.restore(state["judge"], step=state["step"])
        self.step = self._guard.step = state["step"]
        self._iteration, self._armed_until = state["iteration"], state["armed_until"]
        self._val_loss, self._notes = state["val_loss"], list(state["notes"])
        self._began = self._ended - state["run_seconds"]
        self.subject.clock.seconds += state["seconds"]
        self.subject.executed(state["order"])
        self.subject.refresh()
        for probe in tuple(self._probes):
            with self._guard.over(probe, self._probes):
                probe.restore(state["probes"].get(probe.name, {}))

    def _blind(self) -> list[str]:
        sentences = [*self._notes, *(self._exchange.blind() if self.step else [])]
        for probe in tuple(self._probes) if self.step else ():
            with self._guard.over(probe, self._probes):
                sentences.extend(probe.blind())
        if self._recorded:
            sentences.append("A CUDA graph was recorded: what is replayed from it cannot be seen.")
        if self._waiting >= MAX_MICRO_BATCHES:
            sentences.append(
                f"No watched optimizer stepped in the last {self._waiting} iterations: was it replaced?"
            )
        return sentences


def _schedule(given: Any) -> Schedule:
    if given is not None and not isinstance(given, Schedule):
        raise FieldError("schedule", given, "a torchvitals.Schedule, such as Schedule(every=100), or None")
    return given or Schedule()


def _mean(losses: list[Tensor | float]) -> Tensor | float | None:
    """Of numbers where there are any, else of tensors, on their device."""
    numbers = [loss for loss in losses if not isinstance(loss, Tensor)]
    tensors = [loss for loss in losses if isinstance(loss, Tensor)]
    if numbers:
        return sum(numbers) / len(numbers)
    return sum(tensors[1:], tensors[0]) / len(tensors) if tensors else None


def _number(loss: Tensor | float) -> Tensor | float:
    """A loss of any shape as one number, left on its device; on the CPU reading it waits for nothing."""
    if not isinstance(loss, Tensor):
        return float(loss)
    loss = local(loss.detach())
    if loss.device.type == "cpu" and loss.numel() == 1:
        return host(loss.reshape(()))
    return loss.float().mean()


def _holds_nonfinite(table: Table) -> bool:
    return "nonfinite" in table.columns and bool(table["nonfinite"].any())
