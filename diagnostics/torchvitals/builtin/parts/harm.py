"""What became of the loss: what turns an oddity into an illness."""

import math

import numpy as np

from torchvitals.builtin.parts.calls import guessing
from torchvitals.builtin.parts.losses import Losses
from torchvitals.builtin.parts.middle import median
from torchvitals.builtin.parts.progress import LEAST_FALL
from torchvitals.core.snapshot import Snapshot, remembered
from torchvitals.core.window import Window

RECENT = 8
"""Latest steps whose median is the loss now."""
RISE = 1.2
"""Loss now over the first loss from which it has risen, and not just jittered."""
BLOWN = 10.0
"""The same from which three steps are enough to tell."""
LOST = 0.75
"""Part of the loss at the start, or of guessing, below which something has been learned."""
CRAWL = 24
"""Looks at a loss function after which a loss that has lost less than a quarter crawls."""
PATIENCE = 32
"""Looks after which a loss that has not moved is a failure, and not a slow start."""


@remembered
def harm_since(window: Window, began: int, ended: int, *, patience: int = PATIENCE) -> str | None:
    """What the loss suffers from since something lasted from step `began` to `ended`, or None if nothing.

    None also where the loss has no natural zero (it was 0 or less once), as in games between networks,
    policy gradients and densities: how much worse it became can then not be told. And where it once was
    well below its start after `ended`: what came later has other reasons.
    """
    losses = Losses.of(window)
    if not len(losses) or losses.values.min() <= 0 or has_learned(window, ended):
        return None
    first, start = float(losses.values[0]), _start(window)
    since = losses.values[losses.steps > began]
    if len(since) >= 3 and float(since[-3:].min()) > BLOWN * first:
        return "the loss has blown up"
    if len(since) >= RECENT and median(since[-RECENT:]) > RISE * first:
        return "the loss has risen above its start"
    if _lost(since, start):
        return "the loss is back where it started"
    looked = losses.values[losses.looked & (losses.steps >= began)]
    return "the loss stands still" if len(looked) >= patience and _flat(looked, start) else None


def has_learned(window: Window, since: int) -> bool:
    """Whether the loss, some step after `since`, was well below its start over a few steps in a row."""
    losses = Losses.of(window)
    return _learned(losses.values[losses.steps > since], _start(window))


def _learned(losses: np.ndarray, start: float) -> bool:
    """Whether some median of five losses in a row is that low: at least three of the five then are."""
    low = np.cumsum(losses < LOST * start)
    return len(low) >= 5 and bool((low[4:] - np.concatenate([[0], low[:-5]]) >= 3).any())


@remembered
def crawls(window: Window) -> bool:
    """Whether the loss has lost less than a quarter although many looks have passed."""
    losses = Losses.of(window).values
    losses = losses[losses > 0]
    if len(window.looks("loss")) < CRAWL or not len(losses):
        return False
    return median(losses[-RECENT:]) > LOST * float(losses[0])


def broken(snapshot: Snapshot) -> bool:
    """Whether the loss or a parameter is not finite; gradients that overflow may be skipped: they do not
    count.
    """
    if snapshot.loss is not None and not math.isfinite(snapshot.loss):
        return True
    return "parameter" in snapshot and bool(snapshot["parameter"]["nonfinite"].any())


def _lost(losses: np.ndarray, start: float) -> bool:
    """Whether something had been learned, and nothing of it is left for a while."""
    long = 2 * RECENT
    return _learned(losses, start) and float(losses[-long:].min()) > LOST * start


def _flat(losses: np.ndarray, start: float) -> bool:
    """Whether the loss did not fall from one third of the looks to the next, and has not fallen before."""
    third = len(losses) // 3
    before, now = median(losses[-2 * third : -third]), median(losses[-third:])
    return now > (1 - LEAST_FALL) * before and now > LOST * start


@remembered
def _start(window: Window) -> float:
    """The first loss, or that of guessing where the first one is higher; inf where none is known."""
    losses = Losses.of(window).values
    return min(float(losses[0]) if len(losses) else math.inf, guessing(window) or math.inf)
