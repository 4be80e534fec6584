"""What is read off a Trainer of Lightning, whatever its version."""

from collections.abc import Iterable
from typing import Any

from torchvitals.core.protocols import Diagnostic, Reporter
from torchvitals.reporters.console import ConsoleReporter
from torchvitals.reporters.loggers import LoggersReporter
from torchvitals.reporters.wandb import WandbReporter


def key_of(
    callback: Any, diagnostics: Iterable[Diagnostic] | None, reporters: Iterable[Reporter] | None
) -> str:
    parts = {
        "diagnostics": None if diagnostics is None else [diagnostic.name for diagnostic in diagnostics],
        "reporters": None if reporters is None else [type(reporter).__name__ for reporter in reporters],
    }
    told = ", ".join(f"{name}={value}" for name, value in parts.items() if value is not None)
    return f"{type(callback).__qualname__}({told})"


def scaler_of(trainer: Any) -> Any:
    """The GradScaler of a training in float16; what another plugin may call so is left alone."""
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    return scaler if hasattr(scaler, "is_enabled") else None


def default_reporters(trainer: Any) -> list[Reporter]:
    """The console and the Trainer's loggers, on the first rank alone."""
    if not trainer.is_global_zero:
        return []
    wandb = [logger for logger in trainer.loggers if type(logger).__name__ == "WandbLogger"]
    others = [logger for logger in trainer.loggers if logger not in wandb]
    reporters: list[Reporter] = [ConsoleReporter(), *(WandbReporter(logger.experiment) for logger in wandb)]
    return [*reporters, LoggersReporter(others)] if others else reporters
