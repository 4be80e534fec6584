"""The adapter for PyTorch Lightning, under either of its import names."""

import os
import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from torchvitals import registry
from torchvitals.adapters.trainer import default_reporters, key_of, scaler_of
from torchvitals.adapters.turns import Turns
from torchvitals.adapters.validated import AVERAGED, Weights
from torchvitals.core.errors import MissingExtra
from torchvitals.core.finding import Severity, severity_of
from torchvitals.core.protocols import Diagnostic, Reporter
from torchvitals.core.summary import Summary
from torchvitals.monitor import Monitor
from torchvitals.recorder import Recorder, recorder_of
from torchvitals.reporters.text import render
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


RESUMED = (
    "Steps before the training was resumed: the checkpoint holds no record of them, and steps are counted "
    "from there."
)


class VitalsCallback(Callback):
    """Watch every `fit` of a Trainer from inside.

    Gradients are read before they are clipped and after they are accumulated and unscaled. With
    `reporters=None` the run is told to the console and to the Trainer's loggers; for a W&B logger that
    includes the incidents table, one alert per incident, and the verdict in the summary. The other arguments
    are those of `torchvitals.watch`; `stop_on` ends the training after the running batch, as Lightning's own
    early stopping does.

    Lightning's checkpoints hold the watch, too (`Vitals.state_dict` says how large it is): a run that goes on
    from one is judged by all that was seen of it, and no incident is told twice. In a training that steps by
    hand gradients are read when an optimizer steps, and the loss is the sum of what was backpropagated; where
    several optimizers have losses of their own, it is the one that `training_step` returns, if any.
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
        self._key = key_of(self, None if diagnostics is None else self._diagnostics, self._reporters)
        self._monitor: Monitor | None = None
        self._handles: list[Any] = []
        self._fits = False
        """whether the monitor is that of the fit which is going on, or was the last"""
        self._state: Mapping[str, Any] = {}
        """what the fit to come goes on from, where a checkpoint told"""
        self._turns, self._weights = Turns(), Weights()
        self._manual = self._several = False

    @property
    def state_key(self) -> str:
        """Tells several of them in one Trainer apart, by their diagnostics and sorts of reporters."""
        return self._key

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

    def state_dict(self) -> dict[str, Any]:
        """The watch so far, for Lightning's checkpoints: see `Vitals.state_dict`."""
        return self._monitor.state_dict() if self._monitor is not None and self._fits else dict(self._state)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let the fit to come go on from there."""
        self._state = state_dict

    def setup(self, trainer: Any, pl_module: nn.Module, stage: str) -> None:
        # Before checkpoints are read. A tuner saves one and goes back to it: no earlier fit may come with it.
        if stage == "fit":
            self._fits, self._state = False, {}

    def on_train_start(self, trainer: Any, pl_module: nn.Module) -> None:
        self._begin(trainer, pl_module)

    def on_fit_end(self, trainer: Any, pl_module: nn.Module) -> None:
        if self._state:  # a checkpoint after which nothing was left to train: what it knows is the report
            self._begin(trainer, pl_module)
            self._close()

    def _begin(self, trainer: Any, pl_module: nn.Module) -> None:
        self._close()
        self._monitor = Monitor(
            pl_module,
            trainer.optimizers,
            diagnostics=self._diagnostics,
            reporters=self._reporters if self._reporters is not None else default_reporters(trainer),
            schedule=self._schedule,
            strict=self._strict,
            stop_on=self._stop_on,
            scaler=scaler_of(trainer),
            wrapper=trainer.strategy.model,
            recorder=self._recorder,
        )
        self._resume(trainer)
        self._fits, self._turns, self._weights = True, Turns(), Weights()
        self._manual = not getattr(pl_module, "automatic_optimization", True)
        self._several = len(trainer.optimizers) > 1
        # Lightning runs forward and backward inside of `optimizer.step`: the pre-hook fires before both.
        self._handles = [o.register_step_pre_hook(self._before_update) for o in trainer.optimizers]
        self._handles += [o.register_step_post_hook(self._after_update) for o in trainer.optimizers]

    def on_train_batch_start(self, trainer: Any, pl_module: nn.Module, batch: Any, batch_idx: int) -> None:
        if self._monitor is not None:
            self._turns.take(begun=False)
            self._monitor.begin(batch)

    def on_before_backward(self, trainer: Any, pl_module: nn.Module, loss: Tensor) -> None:
        if self._monitor is not None:
            self._monitor.objective(loss)
            # Lightning has divided it by the number of micro-batches already, and multiplied it by the scale.
            scale = self._monitor.scaler.scale() if self._monitor.scaler is not None else None
            loss = loss.detach() * trainer.accumulate_grad_batches / (1 if scale is None else scale)
            self._turns.loss(loss)

    def on_before_optimizer_step(self, trainer: Any, pl_module: nn.Module, optimizer: Optimizer) -> None:
        if self._monitor is not None:
            inner = getattr(optimizer, "optimizer", optimizer)
            self._end_if_again(inner)
            self._turns.ready(inner)
            # A training that steps by hand may have clipped by hand.
            clipped = "unknown" if self._manual else "no"
            self._monitor.gradients_ready(inner if self._several else None, clipped=clipped)

    def on_train_batch_end(
        self, trainer: Any, pl_module: nn.Module, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._monitor is None:
            return
        self._monitor.micro_step(self._loss(outputs, self._turns.take(begun=False)))
        scaler = self._monitor.scaler
        updated = scaler is not None and scaler.updated()
        if self._turns.stepped or updated:
            self._monitor.step_done(**self._turns.end(scaled=scaler is not None))
        if (reason := self._monitor.stop_reason) is not None and not trainer.should_stop:
            trainer.should_stop = True
            if trainer.is_global_zero:
                print(f"torchvitals: stopped as asked by stop_on: {reason}", file=sys.stderr)

    def on_validation_start(self, trainer: Any, pl_module: nn.Module) -> None:
        self._note_weights(trainer, pl_module)

    def on_validation_batch_start(
        self, trainer: Any, pl_module: nn.Module, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if batch_idx == 0:
            self._note_weights(trainer, pl_module)

    def on_validation_end(self, trainer: Any, pl_module: nn.Module) -> None:
        loss = trainer.callback_metrics.get("val_loss")
        if self._monitor is None or not self._note_weights(trainer, pl_module):
            return
        if not self._weights.stayed():
            self._monitor.note(AVERAGED)
        elif loss is not None:
            self._monitor.validation(loss)

    def _note_weights(self, trainer: Any, pl_module: nn.Module) -> bool:
        """Whether a training is being validated; if so, note some weights."""
        validated = self._fits and trainer.state.fn == "fit" and not trainer.sanity_checking
        if validated:
            self._weights.note(pl_module)
        return validated

    def on_train_end(self, trainer: Any, pl_module: nn.Module) -> None:
        self._close()

    def on_exception(self, trainer: Any, pl_module: nn.Module, exception: BaseException) -> None:
        self._close()

    def teardown(self, trainer: Any, pl_module: nn.Module, stage: str) -> None:
        self._close()

    def _before_update(self, optimizer: Optimizer, *_: Any) -> None:
        if self._monitor is not None:
            self._end_if_again(optimizer)
            self._monitor.before_update(optimizer)

    def _after_update(self, optimizer: Optimizer, *_: Any) -> None:
        self._turns.done(optimizer)
        if self._monitor is not None:
            self._monitor.after_update(optimizer)
            if self._manual and not self._several and self._monitor.scaler is None:
                self._end()  # there may be more steps with this batch

    def _end_if_again(self, optimizer: Optimizer) -> None:
        """An optimizer that has had its turn begins another with the same batch: that is the next step."""
        if self._monitor is not None and self._turns.had(optimizer, self._monitor.scaler):
            self._end()

    def _end(self) -> None:
        """The step is over before the batch is."""
        if self._monitor is not None:
            self._monitor.micro_step(self._loss(None, self._turns.take(begun=True)), ends=False)
            self._monitor.step_done(**self._turns.end(scaled=self._monitor.scaler is not None))

    def _loss(self, outputs: Any, losses: list[Tensor]) -> Tensor | None:
        """What was minimised: the last of `losses`, or by hand their sum; None where several optimizers have
        losses of their own and `training_step` names none.
        """
        if not self._manual:
            return losses[-1] if losses else None
        if not self._several or len(losses) == 1:
            return torch.stack([loss.float().sum() for loss in losses]).sum() if losses else None
        told = outputs.get("loss") if isinstance(outputs, Mapping) else None
        return told if isinstance(told, Tensor) and losses else None

    def _resume(self, trainer: Any) -> None:
        state, self._state = self._state, {}
        if self._monitor is None:
            return
        if state:
            self._monitor.load_state_dict(state)
        elif getattr(trainer, "ckpt_path", None) is not None and trainer.global_step > 0:
            self._monitor.note(RESUMED)

    def _close(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []
        if self._monitor is not None:
            self._monitor.close()
