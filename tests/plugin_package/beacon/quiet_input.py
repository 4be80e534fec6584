"""BC101: finds inputs that hold nothing but zeros."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torchvitals import Diagnostic, Finding, Remedy, Severity, Window


@dataclass(frozen=True, kw_only=True)
class QuietInput(Diagnostic):
    """Inputs that are zero throughout.

    What it measures: the largest absolute entry of every input tensor, over the latest `looks` looks.

    Why it matters: a net that sees nothing learns nothing but its biases.

    When it is wrong: batches that are masked on purpose.

    What to try: look at what the loader gives.

    Source: common sense.
    """

    code: ClassVar[str] = "BC101"
    name: ClassVar[str] = "quiet-input"
    needs: ClassVar[frozenset[str]] = frozenset({"input"})
    ranges: ClassVar = {"looks": (1, 64)}

    looks: int = 3
    """looks in a row that must be silent; 1 to 64"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        looks = window.looks("input")[-self.looks :]
        if len(looks) == self.looks and all(look["input"]["abs_max"].max(initial=0.0) == 0 for look in looks):
            yield self.finding(
                Severity.WARNING,
                where=looks[-1]["input"].names,
                since=looks[0].step,
                message=f"The input has been all zeros for {self.looks} looks.",
                cause="empty batches",
                evidence={"looks": self.looks},
                remedies=(Remedy("Look at what the loader gives."),),
            )
