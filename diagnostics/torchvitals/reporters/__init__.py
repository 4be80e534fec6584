"""All that speaks about a run: text, terminal, recording, Weights & Biases, Lightning's loggers."""

from torchvitals.reporters.console import ConsoleReporter
from torchvitals.reporters.jsonl import JsonlReporter
from torchvitals.reporters.keys import metrics
from torchvitals.reporters.loggers import LoggersReporter
from torchvitals.reporters.memory import MemoryReporter
from torchvitals.reporters.recording import BadRecording, Recording, read
from torchvitals.reporters.text import render
from torchvitals.reporters.wandb import WandbReporter

__all__ = [
    "BadRecording",
    "ConsoleReporter",
    "JsonlReporter",
    "LoggersReporter",
    "MemoryReporter",
    "Recording",
    "WandbReporter",
    "metrics",
    "read",
    "render",
]
