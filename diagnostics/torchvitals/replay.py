"""Judges recorded snapshots again, perhaps under other thresholds than those of the run."""

from collections.abc import Iterable

from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.summary import Summary
from torchvitals.judge import Judge


def judge(snapshots: Iterable[Snapshot], diagnostics: Iterable[Diagnostic]) -> Summary:
    """What the diagnostics would have said at each of these steps; coverage counts what was recorded."""
    court, steps = Judge(diagnostics), 0
    for snapshot in snapshots:
        court.take_in(snapshot)
        steps = snapshot.step + 1
    return court.summary(steps=steps)
