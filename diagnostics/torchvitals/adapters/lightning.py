"""The adapter for PyTorch Lightning, under either of its import names."""

import os
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.optim import Optimizer

from torchvitals import registry
from torchvitals.core.errors import MissingExtra
from torchvitals.core.finding import Severity, severity_of
from torchvitals.core.protocols import Diagnostic, Reporter
from torchvitals.core.summary import Summary
from torchvitals.monitor import Monitor
from torchvitals.recorder import Recorder, recorder_of
from torchvitals.reporters.console import ConsoleReporter
from torchvitals.reporters.loggers import LoggersReporter
from torchvitals.reporters.text import render
from torchvitals.reporters.wandb import WandbReporter
from torchvitals.schedule import Schedule

if TYPE_CHECKING:
    from pytorch_lightning import Callback
else:

    def _callback() -> type:
        """The Callback of the package that the user has imported; either works in either Trainer."""
        names = sorted(("pytorch_lightning", "lightning.pytorch"), key=lambda name: name not in sys.modules)
        for name in names:
            try:
                return import_module(name).Callback
            except ModuleNotFoundError as error:
                if error.name != name.partition(".")[0]:
                    raise  # it is installed, and what it needs is not
        raise MissingExtra("pytorch-lightning", "lightning")

    Callback = _callback()


class VitalsCallback(Callback):
    """Watch every `fit` of a Trainer from inside.

    Gradients are read before they are clipped and after they are accumulated and unscaled. With
    `reporters=None` the run is told to the console and to the Trainer's loggers; for a W&B logger that
    includes the incidents table, one alert per incident, and the verdict in the summary. The other arguments
    are those of `torchvitals.watch`; `stop_on` ends the training after the running batch, as Lightning's own
    early stopping does.
    """

    def __init__(
        self,
        *,
        diagnostics: Iterable[str | Diagnostic] | None = None,
        reporters: Iterable[str | Reporter] | None = None,
        schedule: Schedule | None = None,
        strict: bool = False,
        stop_on: Severity | str | None = None,
        recorder: Recorder | str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__()
        self._diagnostics = registry.resolve(diagnostics)
        self._reporters = None if reporters is None else registry.reporters(reporters)
        self._schedule = schedule
        self._strict = strict
        self._stop_on = severity_of(stop_on)
        self._recorder = recorder_of(recorder)
        self._monitor: Monitor | None = None
        self._handles: list[Any] = []
        self._loss: Tensor | None = None
        self._stepped = False

    @property
    def summary(self) -> Summary:
        """The latest fit so far, as one object; "no data" before the first."""
        return self._monitor.summary if self._monitor is not None else Summary(verdict="no data")

    @property
    def stop_reason(self) -> str | None:
        """Why `stop_on` ended the latest fit, such as "TV203 non-finite: ..."; None when it did not."""
        return self._monitor.stop_reason if self._monitor is not None else None

    def report(self) -> str:
        """The latest fit so far, as text."""
        return render(self.summary)

    def on_train_start(self, trainer: Any, pl_module: nn.Module) -> None:
        self._close()
        self._monitor = Monitor(
            pl_module,
            trainer.optimizers,
            diagnostics=self._diagnostics,
            reporters=self._reporters if self._reporters is not None else _default_reporters(trainer),
            schedule=self._schedule,
            strict=self._strict,
            stop_on=self._stop_on,
            scaler=_scaler(trainer),
            wrapper=trainer.strategy.model,
            recorder=self._recorder,
        )
        self._stepped = False
        # Lightning runs forward and backward inside of `optimizer.step`: the pre-hook fires before both.
        self._handles = [o.register_step_pre_hook(self._before_update) for o in trainer.optimizers]
        self._handles += [o.register_step_post_hook(self._after_update) for o in trainer.optimizers]

    def on_train_batch_start(self, trainer: Any, pl_module: nn.Module, batch: Any, batch_idx: int) -> None:
        if self._monitor is not None:
            self._loss = None
            self._monitor.begin(batch)

    def on_before_backward(self, trainer: Any, pl_module: nn.Module, loss: Tensor) -> None:
        if self._monitor is not None:
            self._monitor.objective(loss)
            # Lightning has divided it by the number of micro-batches already, and multiplied it by the scale.
            scale = self._monitor.scaler.scale() if self._monitor.scaler is not None else None
            self._loss = loss.detach() * trainer.accumulate_grad_batches / (1 if scale is None else scale)

    def on_before_optimizer_step(self, trainer: Any, pl_module: nn.Module, optimizer: Optimizer) -> None:
        if self._monitor is not None:
            several = len(trainer.optimizers) > 1
            self._monitor.gradients_ready(getattr(optimizer, "optimizer", optimizer) if several else None)

    def on_train_batch_end(
        self, trainer: Any, pl_module: nn.Module, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._monitor is None:
            return
        self._monitor.micro_step(self._loss)
        scaler = self._monitor.scaler
        updated = scaler is not None and scaler.updated()
        if self._stepped or updated:
            labels = {} if self._stepped else {"skipped": "scaler"}
            self._stepped = False
            self._monitor.step_done(**labels)
            if (reason := self._monitor.stop_reason) is not None and not trainer.should_stop:
                trainer.should_stop = True
                if trainer.is_global_zero:
                    print(f"torchvitals: stopped as asked by stop_on: {reason}", file=sys.stderr)

    def on_validation_end(self, trainer: Any, pl_module: nn.Module) -> None:
        loss = trainer.callback_metrics.get("val_loss")
        if self._monitor is not None and loss is not None and not trainer.sanity_checking:
            self._monitor.validation(loss)

    def on_train_end(self, trainer: Any, pl_module: nn.Module) -> None:
        self._close()

    def on_exception(self, trainer: Any, pl_module: nn.Module, exception: BaseException) -> None:
        self._close()

    def teardown(self, trainer: Any, pl_module: nn.Module, stage: str) -> None:
        self._close()

    def _before_update(self, optimizer: Optimizer, *_: Any) -> None:
        if self._monitor is not None:
            self._monitor.before_update(optimizer)

    def _after_update(self, optimizer: Optimizer, *_: Any) -> None:
        self._stepped = True
        if self._monitor is not None:
            self._monitor.after_update(optimizer)

    def _close(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []
        if self._monitor is not None:
            self._monitor.close()


def _scaler(trainer: Any) -> Any:
    """The GradScaler of a training in float16; what another plugin may call so is left alone."""
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    return scaler if hasattr(scaler, "is_enabled") else None


def _default_reporters(trainer: Any) -> list[Reporter]:
    """The console and the Trainer's loggers, on the first rank alone."""
    if not trainer.is_global_zero:
        return []
    wandb = [logger for logger in trainer.loggers if type(logger).__name__ == "WandbLogger"]
    others = [logger for logger in trainer.loggers if logger not in wandb]
    reporters: list[Reporter] = [ConsoleReporter(), *(WandbReporter(logger.experiment) for logger in wandb)]
    return [*reporters, LoggersReporter(others)] if others else reporters
