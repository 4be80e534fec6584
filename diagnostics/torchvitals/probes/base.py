"""What a probe is: the moments of a training step that it may use, and what it hands over at its end."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from torch import Tensor
from torch._C import DisableTorchFunction
from torch.optim import Optimizer

from torchvitals.probes.measurement import Measurement
from torchvitals.probes.scaler import Scaler
from torchvitals.probes.sites import Tracer
from torchvitals.probes.subject import Subject


class Probe:
    """Measures kinds of tables. The engine calls these moments, in this order, at every step:

        arm (due steps only) -> [begin -> forward and backward of the user -> objective] per micro-batch
        -> gradients_ready -> before_update -> [optimizer] -> after_update
        -> collect -> disarm (due steps only)

    and around every optimizer's own step, whichever of them it is, stepping and stepped.

    Nothing here may change the training, draw random numbers, or wait for a device.
    """

    name: ClassVar[str]
    provides: ClassVar[frozenset[str]]
    """kinds of tables that it can measure"""
    always: ClassVar[bool] = False
    """takes part in every step, cheaply, and not only in due ones"""

    scaler: Scaler | None = None
    """what multiplies the loss before the backward pass, if the engine was told of one"""
    _error: Exception | None = None
    _tracer: Tracer

    def start(self, subject: Subject, wanted: frozenset[str]) -> None:
        """Training is about to begin; measure only the `wanted` kinds."""
        self.subject = subject
        self.wanted = wanted

    def arm(self) -> None:
        """The coming step is due."""

    def begin(self, batch: Any, index: int) -> None:
        """Iteration `index` begins with that batch, where the adapter knows it."""

    def objective(self, loss: Tensor) -> None:
        """The loss of a micro-batch, with its graph: before or after the backward pass."""

    def stepping(self, optimizer: Optimizer) -> None:
        """That optimizer begins its step; in a framework that hands it a closure, before the forward pass."""

    def stepped(self, optimizer: Optimizer) -> None:
        """That optimizer has consumed its gradients."""

    def gradients_ready(self, *, due: bool) -> None:
        """Gradients are what the optimizer will consume."""

    def before_update(self) -> None:
        """The optimizer is about to change the parameters of a due step."""

    def after_update(self) -> None:
        """The optimizer has changed the parameters of a due step."""

    def failed(self, error: Exception) -> None:
        """Measuring raised inside of the user's pass, which goes on. The first mistake waits for `check`."""
        self._error = self._error or error

    def guarded(self, measure: Callable[..., Any], *args: Any) -> None:
        """Measure inside of the user's forward or backward pass, unseen by it and without harm to it."""
        try:
            with self.subject.clock, DisableTorchFunction():
                measure(*args)
        except Exception as error:
            self.failed(error)

    def check(self) -> None:
        """Raise what was kept: called before `collect`, where a mistake costs the probe and nobody else."""
        if self._error is not None:
            raise self._error

    def collect(self) -> Iterable[Measurement]:
        """What was measured since the last call; forget it."""
        return ()

    def disarm(self) -> None:
        """The due step is over: leave no hook behind."""

    def blind(self) -> Iterable[str]:
        """One sentence for each thing that could not be observed so far, and why."""
        return ()

    def state(self) -> dict[str, Any]:
        """What must be known after the training was resumed from a checkpoint, as values that JSON knows."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`, right after `start`."""

    def close(self) -> None:
        """Leave no trace."""
        self.disarm()
        if (tracer := getattr(self, "_tracer", None)) is not None:
            tracer.close()
