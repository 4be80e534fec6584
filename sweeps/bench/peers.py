"""Other tools as watchers, driven as their documentation says, each where it is installed."""

import atexit
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from io import StringIO
from typing import Any

import torch
from torch import Tensor

from sweeps.bench.timing import Watcher
from sweeps.bench.training import Eye, Training

SELDOM = 10**6
"""A frequency at which a tool looks once, if at all."""


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A peer with all that is needed to say what it costs over a run."""

    name: str
    module: str
    """what has to be importable"""
    measures: str
    """what is known after a look"""
    counts: Mapping[str, int]
    """steps of each kind in 1,000 at its default frequency; a "quiet" step without a watcher costs nothing"""
    against: str
    """the part of torchvitals that sees about as much: "look" or "quiet", its always-on tier"""
    watchers: tuple[Watcher, ...]

    @property
    def installed(self) -> bool:
        return find_spec(self.module) is not None


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
def _grad_norm(training: Training) -> Iterator[Eye]:
    from pytorch_lightning.utilities import grad_norm

    yield GradNorm(training, grad_norm)


@contextmanager
def _anomaly(_training: Training) -> Iterator[Eye]:
    try:
        yield Anomaly()
    finally:
        torch.autograd.set_detect_anomaly(False)


@contextmanager
def _underflow(training: Training) -> Iterator[Eye]:
    from transformers.debug_utils import DebugUnderflowOverflow  # type: ignore[import-not-found]

    DebugUnderflowOverflow(training.model)
    yield Eye()


def _wandb(every: int) -> Callable[[Training], Any]:
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


def _mortem(cheap: int, dear: int) -> Callable[[Training], Any]:
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


def _audit(every: int) -> Callable[[Training], Any]:
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


def _quiet(_step: int) -> str:
    return "quiet"


TOOLS = (
    Tool(
        name="wandb.watch",
        module="wandb",
        measures="a histogram of every gradient and parameter",
        counts={"look": 1, "quiet": 999},
        against="look",
        watchers=(
            Watcher(name="wandb.watch, default", open=_wandb(1000), kind=_quiet),
            Watcher(name="wandb.watch, every step", open=_wandb(1)),
        ),
    ),
    Tool(
        name="Lightning grad_norm",
        module="pytorch_lightning",
        measures="the norm of every gradient, and of all",
        counts={"look": 1000},
        against="quiet",
        watchers=(Watcher(name="grad_norm", open=_grad_norm),),
    ),
    Tool(
        name="torch detect_anomaly",
        module="torch",
        measures="whether a backward function gave a NaN, with the line that called its forward",
        counts={"look": 1000},
        against="quiet",
        watchers=(Watcher(name="detect_anomaly", open=_anomaly),),
    ),
    Tool(
        name="DebugUnderflowOverflow",
        module="transformers",
        measures="least and greatest magnitude of every parameter, input and output of a module; NaN and Inf",
        counts={"look": 1000},
        against="look",
        watchers=(Watcher(name="DebugUnderflowOverflow", open=_underflow),),
    ),
    Tool(
        name="torchmortem",
        module="torchmortem",
        measures="gradients, activations, parameters and updates of every layer; at each 50th step ranks and"
        " curvature",
        counts={"look": 980, "deep": 20},
        against="look",
        watchers=(
            Watcher(name="torchmortem, default", open=_mortem(1, SELDOM)),
            Watcher(name="torchmortem, deep", open=_mortem(1, 1), kind=lambda _step: "deep"),
            Watcher(name="torchmortem, seldom", open=_mortem(SELDOM, SELDOM), kind=_quiet),
        ),
    ),
    Tool(
        name="torch-audit",
        module="torch_audit",
        measures="NaN and Inf, dead units, gradient norms, weights, input statistics by rules",
        counts={"look": 1, "quiet": 999},
        against="look",
        watchers=(
            Watcher(name="torch-audit, default", open=_audit(1000), kind=_quiet),
            Watcher(name="torch-audit, every step", open=_audit(1)),
        ),
    ),
)
