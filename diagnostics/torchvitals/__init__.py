"""Vital signs for neural-network training: what is wrong, where, since when, why, and what to do.

with torchvitals.watch(model, optimizer) as vitals:
    for x, y in loader:
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        vitals.step(loss)
print(vitals.report())
"""

from torchvitals.adapters.loop import Vitals, watch
from torchvitals.core.errors import TorchvitalsError, TrainingStopped
from torchvitals.core.finding import Finding, Incident, Remedy, Severity
from torchvitals.core.protocols import Diagnostic, Reporter
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.summary import Coverage, Summary
from torchvitals.core.window import Window
from torchvitals.preflight import Preflight, preflight
from torchvitals.recorder import Recorder
from torchvitals.schedule import Schedule

__version__ = "0.1.0"

__all__ = [
    "Coverage",
    "Diagnostic",
    "Finding",
    "Incident",
    "Preflight",
    "Recorder",
    "Remedy",
    "Reporter",
    "Schedule",
    "Severity",
    "Snapshot",
    "Summary",
    "TorchvitalsError",
    "TrainingStopped",
    "Vitals",
    "Window",
    "preflight",
    "watch",
]
