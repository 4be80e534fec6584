"""The adapter for a training loop of one's own: `torchvitals.watch`."""

import os
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from torchvitals.core.errors import TrainingStopped
from torchvitals.core.finding import Incident, Severity
from torchvitals.core.protocols import Diagnostic, Reporter
from torchvitals.core.summary import Coverage, Summary, Verdict
from torchvitals.monitor import Monitor
from torchvitals.probes.hooks import uncompiled
from torchvitals.probes.neverstepped import NeverStepped
from torchvitals.probes.team import several_ranks
from torchvitals.recorder import Recorder
from torchvitals.reporters.console import ConsoleReporter
from torchvitals.reporters.text import render
from torchvitals.schedule import Schedule


class Vitals:
    """A running watch over one training loop; made by `watch`."""

    def __init__(self, monitor: Monitor, optimizers: tuple[Optimizer, ...]) -> None:
        self._monitor = monitor
        self._never_stepped = NeverStepped(p for _, p in monitor.subject.parameters) if optimizers else None
        self._optimizers = optimizers
        self._stepped = False
        self._read: set[int] = set()
        """ids of the optimizers whose gradients were read since they last stepped"""
        self._handles = [o.register_step_pre_hook(self._before_update) for o in optimizers]
        self._handles += [o.register_step_post_hook(self._after_update) for o in optimizers]

    def step(self, loss: Tensor | float | None = None) -> None:
        """Tell that an iteration is over: once per iteration, after the optimizer.

        An iteration in which no optimizer stepped is a micro-batch of the step to come, unless the scaler
        skipped its step, or no step ever comes while gradients are thrown away. Raises `TrainingStopped`
        where `stop_on` was given and is reached.
        """
        self._monitor.micro_step(loss)
        labels = self._why_no_step()
        if labels is None:
            return
        if not self._monitor.gradients_seen:
            self._monitor.gradients_ready(clipped="unknown", unscaled=True)
        self._stepped = False
        self._read.clear()
        self._monitor.step_done(**labels)
        if (reason := self._monitor.stop_reason) is not None:
            raise TrainingStopped(f"Stopped as asked by stop_on: {reason}")

    def validation(self, loss: Tensor | float) -> None:
        """Tell the loss on data that the model is not trained on, whenever there is one."""
        self._monitor.validation(loss)

    def gradients_ready(self) -> None:
        """Let the gradients be read now, before they are clipped; without this call they are read in the
        optimizer. What a `GradScaler` has not unscaled yet is told divided by its scale.
        """
        self._read.update(map(id, self._optimizers))
        self._monitor.gradients_ready()

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on in another process: the window, the incidents, the counts of
        steps and seconds. Take it between two steps.

        Plain values that `torch.load` reads with `weights_only=True`. Bounded whatever the run's length: half
        a megabyte for a network of 77 parameters, 40 kB for one of 4.
        """
        return {
            **self._monitor.state_dict(),
            "stepped": self._never_stepped is None or self._never_stepped.over,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, before the first step: steps are counted on from there, and no incident is told
        twice. A state that this version cannot read leaves a fresh watch and a sentence in `coverage`. Raises
        `FieldError` once a step was seen.
        """
        self._monitor.load_state_dict(state)
        known = isinstance(state, Mapping) and state.get("stepped")
        if self._never_stepped is not None and known:
            self._never_stepped.stepped()

    def close(self) -> None:
        """Stop watching; calling it again does nothing."""
        for handle in self._handles:
            handle.remove()
        if self._never_stepped is not None:
            self._never_stepped.close()
        self._monitor.close()

    def report(self) -> str:
        """The run so far as text: verdict, incidents with evidence and remedies, coverage and cost."""
        return render(self.summary)

    @property
    def summary(self) -> Summary:
        """The run so far as one object."""
        return self._monitor.summary

    @property
    def incidents(self) -> list[Incident]:
        """Worst first, each root followed by what it explains."""
        return list(self.summary.incidents)

    @property
    def verdict(self) -> Verdict:
        """ "healthy", "suspect", "ill" or "no data"."""
        return self.summary.verdict

    @property
    def coverage(self) -> Coverage:
        """What was looked at, and what could not be seen."""
        return self.summary.coverage

    def __enter__(self) -> "Vitals":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @uncompiled
    def _before_update(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if _closure(args, kwargs):
            self._read.discard(id(optimizer))  # gradients that count are still to come
        else:
            self._read_gradients(optimizer)
        self._monitor.before_update(optimizer)

    @uncompiled
    def _after_update(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if _closure(args, kwargs):
            self._read_gradients(optimizer)
        self._read.discard(id(optimizer))
        self._stepped = True
        if self._never_stepped is not None:
            self._never_stepped.stepped()
        self._monitor.after_update(optimizer)

    def _read_gradients(self, optimizer: Optimizer) -> None:
        if id(optimizer) not in self._read:
            self._monitor.gradients_ready(optimizer, clipped="unknown")

    def _why_no_step(self) -> dict[str, str] | None:
        """Labels of the step that has just ended, or None if the iteration was a micro-batch."""
        scaler = self._monitor.scaler
        updated = scaler is not None and scaler.updated()
        if self._stepped or self._never_stepped is None:
            return {}
        if updated:
            return {"skipped": "scaler"}
        return {"stepped": "no"} if self._never_stepped.certain else None


def _closure(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the optimizer's `step(self, closure)` computes the gradients itself: those of the last call of
    the closure are what it consumes.
    """
    return (args[1] if len(args) > 1 else kwargs.get("closure")) is not None


def watch(
    model: nn.Module,
    optimizer: Optimizer | Iterable[Optimizer] | None = None,
    *,
    diagnostics: Iterable[str | Diagnostic] | None = None,
    reporters: Iterable[str | Reporter] | None = None,
    schedule: Schedule | None = None,
    strict: bool = False,
    stop_on: Severity | str | None = None,
    scaler: Any = None,
    recorder: Recorder | str | os.PathLike[str] | None = None,
) -> Vitals:
    """Watch the training of a model from inside; use it as a context manager, or call `close` at the end.

    `diagnostics` are names or built diagnostics, all that are installed when None. `reporters` are told while
    the training runs; None means the console, on the first rank alone. With `strict` a mistake in a
    diagnostic, probe or reporter raises instead of being reported as TV001. With `stop_on` an incident of
    that severity ends the training by `TrainingStopped`. With the `scaler` of a training in float16 (a
    `torch.amp.GradScaler`) its scale is recorded, and steps that it skips are known as such.
    With a `recorder` (a `torchvitals.Recorder`, or just a folder) a step in which something goes wrong is
    written to a file, which `torchvitals replay` shows and runs again.

    Raises `NothingToWatch` for a model without parameters, `UnknownName` for a diagnostic that is not
    installed and `FieldError` for any other value that cannot be.
    """
    one = optimizer is not None and (isinstance(optimizer, str) or not isinstance(optimizer, Iterable))
    optimizers: tuple[Any, ...] = (optimizer,) if one else tuple(optimizer or ())  # type: ignore[arg-type]
    monitor = Monitor(
        model,
        optimizers,
        diagnostics=diagnostics,
        reporters=_default_reporters() if reporters is None else reporters,
        schedule=schedule,
        strict=strict,
        stop_on=stop_on,
        scaler=scaler,
        recorder=recorder,
    )
    return Vitals(monitor, optimizers)


def _default_reporters() -> tuple[Reporter, ...]:
    return (ConsoleReporter(report=False),) if not several_ranks() or dist.get_rank() == 0 else ()
