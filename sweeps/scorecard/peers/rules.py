"""From the rules of a tool to a judge."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar, NamedTuple, Protocol

from torch import Tensor

from sweeps.scorecard.outcome import Alert, Judge, Outcome
from sweeps.scorecard.peers.look import Look
from sweeps.scorecard.peers.readings import Readings, readings
from sweeps.situations.training import Training

EPOCH = 20
"""Steps that count as an epoch for the tools that look once per epoch: about once through the digits. Losses
and accuracies of an epoch are means over its steps."""


Codes = Mapping[str, tuple[str, ...]]
"""what each rule of a tool stands for, as generously as its words allow"""


class Said(NamedTuple):
    """One message of a tool."""

    rule: str
    where: tuple[str, ...] = ()
    cause: str = ""
    more: tuple[str, ...] = ()
    """codes that its advice adds to those of the rule"""


class Rules(Protocol):
    """The rules of one tool, made anew for each training."""

    codes: ClassVar[Codes]
    stops: ClassVar[bool]
    """whether the tool ends the training at its first message, so that it never says another"""

    def look(self, look: Look) -> Iterator[Said]:
        """What it says after an iteration, first things first."""
        ...

    def validated(self, loss: float) -> Iterator[Said]:
        """What it says to a validation loss."""
        ...


class Silent:
    """A tool that has nothing to say to validation losses and lets the training go on."""

    stops: ClassVar[bool] = False

    def validated(self, loss: float) -> Iterator[Said]:
        return iter(())


class Watcher:
    """Applies rules to shared readings. Each rule is told once, at the first step at which it spoke."""

    def __init__(self, rules: Rules, shared: Readings) -> None:
        self._rules, self._shared = rules, shared
        self._step = -1
        self._alerts: dict[str, Alert] = {}
        self._error = ""

    def gradients_ready(self) -> None:
        pass

    def step(self, loss: Tensor | float | None = None) -> None:
        self._step += 1
        self._ask(lambda: self._rules.look(self._shared.look(self._step, loss)))

    def validation(self, loss: float) -> None:
        self._shared.forget()
        self._ask(lambda: self._rules.validated(loss))

    def outcome(self) -> Outcome:
        alerts = tuple(self._alerts.values())
        return Outcome(alerts=alerts, root=alerts[0] if alerts else None, error=self._error)

    def _ask(self, messages: Callable[[], Iterator[Said]]) -> None:
        if self._error or (self._rules.stops and self._alerts):
            return
        try:
            self._hear(messages())
        except Exception as raised:  # must not reach the training, which it would end
            self._error = f"{type(raised).__name__}: {raised}"

    def _hear(self, messages: Iterator[Said]) -> None:
        for said in messages:
            codes = tuple(dict.fromkeys((*self._rules.codes[said.rule], *said.more)))
            alert = Alert(
                step=max(self._step, 0), rule=said.rule, codes=codes, where=said.where, cause=said.cause
            )
            self._alerts.setdefault(said.rule, alert)
            if self._rules.stops:
                return


def judge(name: str, rules: Callable[[Training], Rules], source: str) -> Judge:
    """A judge by its rules."""

    @contextmanager
    def opened(training: Training) -> Iterator[Watcher]:
        with readings(training) as shared:
            yield Watcher(rules(training), shared)

    return Judge(name=name, open=opened, source=source)
