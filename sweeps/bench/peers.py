"""How other tools are opened on a training, and driven: as their documentation says."""

import atexit
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any

import torch
from torch import Tensor

from sweeps.bench.training import Eye, Training


class GradNorm(Eye):
    """As in a LightningModule's `on_before_optimizer_step`, whose logging reads every norm."""

    def __init__(self, training: Training, grad_norm: Callable[..., dict[str, Any]]) -> None:
        self._model, self._grad_norm = training.model, grad_norm
        self.latest: dict[str, float] = {}

    def gradients_ready(self) -> None:
        norms = self._grad_norm(self._model, norm_type=2)
        self.latest = {name: float(norm) for name, norm in norms.items()}


class Anomaly(Eye):
    def begin(self) -> None:
        torch.autograd.set_detect_anomaly(True)

    def step(self, loss: Tensor) -> None:
        torch.autograd.set_detect_anomaly(False)


class Stepped(Eye):
    """Calls something after each step."""

    def __init__(self, call: Callable[[Tensor], object]) -> None:
        self._call = call

    def step(self, loss: Tensor) -> None:
        self._call(loss)


@contextmanager
def open_grad_norm(training: Training) -> Iterator[Eye]:
    from pytorch_lightning.utilities import grad_norm

    yield GradNorm(training, grad_norm)


@contextmanager
def open_anomaly(_training: Training) -> Iterator[Eye]:
    try:
        yield Anomaly()
    finally:
        torch.autograd.set_detect_anomaly(False)


@contextmanager
def open_underflow(training: Training) -> Iterator[Eye]:
    from transformers.debug_utils import DebugUnderflowOverflow  # type: ignore[import-not-found]

    DebugUnderflowOverflow(training.model)
    yield Eye()


def opening_wandb(every: int) -> Callable[[Training], Any]:
    """In a run on disk, without a network; what was measured is committed in the step of the look."""

    @contextmanager
    def opened(training: Training) -> Iterator[Eye]:
        import wandb

        with ExitStack() as ends:
            # It tells the one run of the process, whichever run was asked to watch.
            run = wandb.run or ends.enter_context(_run())
            run.watch(training.model, log="all", log_freq=every)
            ends.callback(run.unwatch, training.model)
            yield Stepped((lambda _loss: run.log({})) if every == 1 else (lambda _loss: None))

    return opened


@contextmanager
def _run() -> Iterator[Any]:
    import wandb

    with tempfile.TemporaryDirectory() as folder:
        settings = wandb.Settings(silent=True, console="off", x_disable_stats=True)
        with wandb.init(mode="offline", dir=folder, settings=settings) as run:
            yield run


def opening_mortem(cheap: int, dear: int) -> Callable[[Training], Any]:
    @contextmanager
    def opened(training: Training) -> Iterator[Eye]:
        from torchmortem import Autopsy, SamplingConfig  # type: ignore[import-untyped]

        logging.getLogger("torchmortem").setLevel(logging.CRITICAL)
        sampling = SamplingConfig(default_interval=cheap, expensive_interval=dear)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of its hooks
            with Autopsy(training.model, optimizer=training.optimizer, sampling=sampling) as autopsy:
                yield Stepped(lambda loss: autopsy.step(loss=loss.item()))
            atexit.unregister(autopsy._atexit_handler)  # it would keep the model until the process ends

    return opened


def opening_audit(every: int) -> Callable[[Training], Any]:
    @contextmanager
    def opened(training: Training) -> Iterator[Eye]:
        from torch_audit import autopatch  # type: ignore[import-untyped]

        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            auditor = autopatch(training.model, optimizer=training.optimizer, every_n_steps=every)
        try:
            yield Stepped(lambda _loss: auditor.pop_new_findings())
        finally:
            auditor.unpatch()

    return opened
