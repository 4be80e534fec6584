"""What it is that a call of a loss function does not fit, as every rule on calls says it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from torchvitals.builtin.parts.calls import Call
from torchvitals.core.finding import Remedy, Severity

PROBABLE = ("softmax", "sigmoid")
"""What makes probabilities."""


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """What is wrong with a call."""

    cause: str
    message: str
    remedy: Remedy
    certain: bool = True
    """whether it follows from the call itself; else it is a note as long as the loss falls"""
    weakens: bool = False
    """whether it makes gradients small: where the optimizer leaves them so, a crawl is harm, too"""
    note: bool = False
    """whether it is a note whatever the loss does"""
    evidence: dict[str, float | str] = field(default_factory=dict)

    def severity(self, *, stalled: bool, crawls: bool = False) -> Severity:
        harmful = not self.note and (self.certain or stalled or (self.weakens and crawls))
        return Severity.WARNING if harmful else Severity.INFO


Rule = Callable[[Call], Mismatch | None]
