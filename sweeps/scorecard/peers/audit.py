"""The package torch-audit itself, at its defaults: `autopatch`, which looks at every 1,000th step.

What it calls a warning or an error is an alert, but for its hints on speed and style, which say nothing of a
training's health; the worst is what it says first.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from sweeps.scorecard.outcome import Alert, Judge, Outcome
from sweeps.scorecard.peers import symptoms as s
from sweeps.scorecard.peers.broken import broken
from sweeps.situations.training import Training

CODES: dict[str, tuple[str, ...]] = {
    "TA100": s.NUMERICAL,
    "TA102": s.EXPLODING,
    "TA104": ("TV204", "TV305", "TV306"),
    "TA105": s.DEAD,
    "TA301": s.UNSCALED,
    "TA302": s.CONSTANT_DATA,
    "TA303": ("TV501",),
    "TA304": ("TV406", "TV407"),
    "TA305": ("TV501",),
    "TA401": ("TV307", "TV406"),
    "TA402": ("TV307",),
    "TA403": ("TV307",),
    "TA405": ("TV101", "TV301"),
    "TA500": ("TV204", "TV305"),
    "TA501": ("TV106", "TV406"),
}
"""What its rules stand for. Those on speed and style stand for nothing that is wrong with a training."""


class Audit:
    def __init__(self, auditor: Any, complaints: list[str]) -> None:
        self._auditor = auditor
        self._complaints = complaints
        self._step = -1
        self._alerts: dict[str, Alert] = {}
        self._worst: Alert | None = None
        self._severity: Any = None
        self._hear()

    def gradients_ready(self) -> None:
        pass

    def step(self, loss: Tensor | float | None = None) -> None:
        self._step += 1
        self._hear()

    def validation(self, loss: float) -> None:
        pass

    def outcome(self) -> Outcome:
        alerts = tuple(self._alerts.values())
        return Outcome(alerts=alerts, root=self._worst, error="".join(self._complaints[:1]))

    def _hear(self) -> None:
        for finding in self._auditor.pop_new_findings():
            if finding.rule_id == "TA000":  # one of its checks failed
                self._complaints.append(finding.message)
            elif finding.severity.value != "INFO" and finding.rule_id in CODES:
                where = (finding.module_path,) if finding.module_path else ()
                codes = CODES[finding.rule_id]
                step = max(self._step, 0)
                alert = Alert(
                    step=step, rule=finding.rule_id, codes=codes, where=where, cause=finding.message
                )
                self._alerts.setdefault(finding.rule_id, alert)
                if self._worst is None or finding.severity > self._severity:
                    self._worst, self._severity = alert, finding.severity


@contextmanager
def _opened(training: Training) -> Iterator[Audit]:
    from torch_audit import autopatch  # type: ignore[import-untyped]

    auditor = autopatch(training.model, optimizer=training.optimizer)
    try:
        with broken(training, "torch_audit") as complaints:
            yield Audit(auditor, complaints)
    finally:
        auditor.unpatch()


JUDGE = Judge(name="torch-audit*", open=_opened, alone=True, source="torch-audit 0.3.0")
