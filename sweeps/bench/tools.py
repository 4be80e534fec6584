"""The peers: what each measures, how often by default, and which part of torchvitals sees about as much."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from sweeps.bench import peers
from sweeps.bench.timing import Watcher

SELDOM = 10**6
"""A frequency at which a tool looks once, if at all."""
DEEP = 5
"""Steps between torchmortem's deep looks here, so that a short run has some; by default there are 50."""


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
            Watcher(name="wandb.watch, default", open=peers.opening_wandb(1000), kind=_quiet),
            Watcher(name="wandb.watch, every step", open=peers.opening_wandb(1)),
        ),
    ),
    Tool(
        name="Lightning grad_norm",
        module="pytorch_lightning",
        measures="the norm of every gradient, and of all",
        counts={"look": 1000},
        against="quiet",
        watchers=(Watcher(name="grad_norm", open=peers.open_grad_norm),),
    ),
    Tool(
        name="torch detect_anomaly",
        module="torch",
        measures="whether a backward function gave a NaN, with the line that called its forward",
        counts={"look": 1000},
        against="quiet",
        watchers=(Watcher(name="detect_anomaly", open=peers.open_anomaly),),
    ),
    Tool(
        name="DebugUnderflowOverflow",
        module="transformers",
        measures="least and greatest magnitude of every parameter, input and output of a module; NaN and Inf",
        counts={"look": 1000},
        against="look",
        watchers=(Watcher(name="DebugUnderflowOverflow", open=peers.open_underflow),),
    ),
    Tool(
        name="torchmortem",
        module="torchmortem",
        measures="gradients, activations, parameters and updates of every layer; at each 50th step ranks and"
        " curvature",
        counts={"look": 980, "deep": 20},
        against="look",
        watchers=(
            Watcher(
                name="torchmortem, default",
                open=peers.opening_mortem(1, DEEP),
                kind=lambda step: "look" if step % DEEP else "deep",
            ),
            Watcher(name="torchmortem, seldom", open=peers.opening_mortem(SELDOM, SELDOM), kind=_quiet),
        ),
    ),
    Tool(
        name="torch-audit",
        module="torch_audit",
        measures="NaN and Inf, dead units, gradient norms, weights, input statistics by rules",
        counts={"look": 1, "quiet": 999},
        against="look",
        watchers=(
            Watcher(name="torch-audit, default", open=peers.opening_audit(1000), kind=_quiet),
            Watcher(name="torch-audit, every step", open=peers.opening_audit(1)),
        ),
    ),
)
