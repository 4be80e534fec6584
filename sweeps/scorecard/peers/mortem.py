"""The package torchmortem itself, at its defaults. It speaks when the training is over."""

import atexit
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from sweeps.scorecard.outcome import Alert, Judge, Outcome
from sweeps.scorecard.peers import symptoms as s
from sweeps.scorecard.peers.broken import broken
from sweeps.situations.training import Training

CODES = (
    ("Vanishing gradients", s.VANISHING),
    ("Exploding gradients", s.EXPLODING),
    ("Gradient stalling", (*s.VANISHING, *s.UNCHANGED)),
    ("Dead units", s.DEAD),
    ("Activation saturation", s.SATURATED),
    ("Update ratio too low", (*s.RATE_LOW, *s.UNCHANGED)),
    ("Update ratio too high", s.RATE_HIGH),
    ("Training divergence", s.DIVERGING),
    ("Loss plateau", s.STUCK),
    ("Rank collapse", ("TV103", "TV105", "TV301")),
    ("Weight norm explosion", ("TV307", "TV302", "TV402")),
    ("Stagnant weight norms", s.UNCHANGED),
    ("Inter-layer weight norm imbalance", s.BAD_INIT),
    ("High gradient noise", ("TV302", "TV407", "TV403")),
)
"""What the titles of its findings stand for, by how they begin."""


class Mortem:
    def __init__(self, autopsy: Any, complaints: list[str]) -> None:
        self._autopsy = autopsy
        self._complaints = complaints
        self._step = -1

    def gradients_ready(self) -> None:
        pass

    def step(self, loss: Tensor | float | None = None) -> None:
        self._step += 1
        value = loss.detach().float().mean().item() if isinstance(loss, Tensor) else loss
        told = {} if value is None else {"loss": value}
        try:
            self._autopsy.step(**told)
        except Exception as raised:  # what it raises is no fault of the training
            self._complaints.append(f"{type(raised).__name__}: {raised}")

    def validation(self, loss: float) -> None:
        pass

    def outcome(self) -> Outcome:
        """Its report lists findings by how bad they are; the worst is what it says first."""
        report = self._autopsy.get_report()
        alerts: dict[str, Alert] = {}
        for finding in report.findings if report else ():
            if finding.severity.name in ("WARNING", "CRITICAL"):
                title, codes = next(
                    ((t, c) for t, c in CODES if finding.title.startswith(t)), (finding.title, ())
                )
                where = tuple(finding.affected_layers)
                alert = Alert(
                    step=max(self._step, 0), rule=title, codes=codes, where=where, cause=finding.summary
                )
                alerts.setdefault(title, alert)
        said = tuple(alerts.values())
        return Outcome(alerts=said, root=said[0] if said else None, error="".join(self._complaints[:1]))


@contextmanager
def _opened(training: Training) -> Iterator[Mortem]:
    from torchmortem import Autopsy  # type: ignore[import-untyped]

    logging.getLogger("torchmortem").setLevel(logging.CRITICAL)
    with warnings.catch_warnings(), broken(training, "torchmortem", "BackwardHook") as complaints:
        warnings.simplefilter("ignore")  # torch warns of its hooks
        with Autopsy(training.model, optimizer=training.optimizer) as autopsy:
            yield Mortem(autopsy, complaints)
        # It would keep every model that it ever saw until the process ends.
        atexit.unregister(autopsy._atexit_handler)


JUDGE = Judge(name="torchmortem*", open=_opened, alone=True, source="torchmortem 0.1.1")
