"""What became of the loss: what turns an oddity into an illness."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from torchvitals.builtin.parts.calls import guessing
from torchvitals.builtin.parts.progress import LEAST_FALL
from torchvitals.core.snapshot import Snapshot
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


def harm_since(window: Window, began: int, ended: int, *, patience: int = PATIENCE) -> str | None:
    """What the loss suffers from since something lasted from step `began` to `ended`, or None if nothing.

    None also where the loss has no natural zero (it was 0 or less once), as in games between networks,
    policy gradients and densities: how much worse it became can then not be told. And where it once was
    well below its start after `ended`: what came later has other reasons.
    """
    losses = finite_losses(window)
    if not losses or min(x for _, x in losses) <= 0:
        return None
    first = losses[0][1]
    since = [x for step, x in losses if step > began]
    if has_learned(window, ended):
        return None
    if len(since) >= 3 and min(since[-3:]) > BLOWN * first:
        return "the loss has blown up"
    if len(since) >= RECENT and float(np.median(since[-RECENT:])) > RISE * first:
        return "the loss has risen above its start"
    if _lost([x for step, x in losses if step > began], _start(window)):
        return "the loss is back where it started"
    looks = {s.step for s in window.snapshots if s.tables}
    looked = [x for step, x in losses if step >= began and step in looks]
    return "the loss stands still" if len(looked) >= patience and _flat(looked, _start(window)) else None


def finite_losses(window: Window) -> list[tuple[int, float]]:
    """Step and loss of each snapshot whose loss was told and finite."""
    return [(s.step, s.loss) for s in window.snapshots if s.loss is not None and math.isfinite(s.loss)]


def has_learned(window: Window, since: int) -> bool:
    """Whether the loss, some step after `since`, was well below its start over a few steps in a row."""
    return _learned([x for step, x in finite_losses(window) if step > since], _start(window))


def _learned(losses: Sequence[float], start: float) -> bool:
    if len(losses) < 5:
        return False
    return float(np.median(sliding_window_view(losses, 5), axis=1).min()) < LOST * start


def crawls(window: Window) -> bool:
    """Whether the loss has lost less than a quarter although many looks have passed."""
    losses = [x for _, x in finite_losses(window) if x > 0]
    if len(window.looks("loss")) < CRAWL or not losses:
        return False
    return float(np.median(losses[-RECENT:])) > LOST * losses[0]


def broken(snapshot: Snapshot) -> bool:
    """Whether the loss or a parameter is not finite; gradients that overflow may be skipped: they do not
    count.
    """
    if snapshot.loss is not None and not math.isfinite(snapshot.loss):
        return True
    return "parameter" in snapshot and bool(snapshot["parameter"]["nonfinite"].any())


def _lost(losses: Sequence[float], start: float) -> bool:
    """Whether something had been learned, and nothing of it is left for a while."""
    long = 2 * RECENT
    return _learned(losses, start) and min(losses[-long:]) > LOST * start


def _flat(losses: Sequence[float], start: float) -> bool:
    """Whether the loss did not fall from one third of the looks to the next, and has not fallen before."""
    third = len(losses) // 3
    before, now = float(np.median(losses[-2 * third : -third])), float(np.median(losses[-third:]))
    return now > (1 - LEAST_FALL) * before and now > LOST * start


def _start(window: Window) -> float:
    """The first loss, or that of guessing where the first one is higher; inf where none is known."""
    losses = finite_losses(window)
    return min(losses[0][1] if losses else math.inf, guessing(window) or math.inf)
