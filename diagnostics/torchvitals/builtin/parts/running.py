"""Statistics of batch norms: whether evaluation will find what training used, and whether there are any."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from torchvitals.builtin.parts.middle import medians
from torchvitals.core.finding import Remedy
from torchvitals.core.snapshot import remembered
from torchvitals.core.tables import Table
from torchvitals.core.window import Window

SHIFT = 0.5
"""Deviations of the batch by which a running mean may differ from the batch's."""
STRETCH = float(np.log(2.0))
"""The same for the logarithm of the variance."""
CHANCE = 4.0
"""Standard errors of a batch's statistics that are granted at least."""

MOMENTUM = Remedy("Give the normalisation a momentum of 0.1, or recompute its statistics before evaluation.")
GROUPS = Remedy("Use larger batches.")
LAYER = Remedy("Use a normalisation that does not look at the batch.", ("model.norm=layer",))


@dataclass(frozen=True, kw_only=True)
class Norm:
    """One batch norm that computed with the statistics of its batches, at each of some looks."""

    path: str
    samples: float
    """most values of a channel that it had statistics of at one of these looks"""
    shift: float
    """distance of the means in deviations of the batch: root mean square over channels, median over looks"""
    stretch: float
    """logarithm of the variances' quotient: the same"""
    off: bool
    """whether one of the two was beyond what is granted at each of these looks"""
    moved: bool
    """whether its running statistics have changed since the first look"""
    momentum: float

    @property
    def distance(self) -> str:
        if self.shift > SHIFT:
            return f"{self.shift:.2g} standard deviations away"
        return f"of a variance {np.exp(self.stretch):.2g} times larger or smaller"


@dataclass(frozen=True, kw_only=True)
class Slip:
    """What is wrong with the statistics of these norms, whatever the loss may say."""

    norms: Sequence[Norm]
    cause: str
    message: str
    remedies: tuple[Remedy, ...]


@remembered
def norms(window: Window, *, looks: int) -> list[Norm]:
    """The batch norms that ran in training mode at every one of the latest `looks` looks, in execution order;
    none where there were fewer.
    """
    tables = [look["normalisation"] for look in window.finite.looks("normalisation")[-looks:]]
    if len(tables) < looks:
        return []
    named = [{name: row for row, name in enumerate(t.names)} for t in tables]
    paths = [p for p in tables[-1].names if all(p in rows for rows in named)]
    rows = [np.array([places[p] for p in paths], int) for places in named]
    ran = np.logical_and.reduce(
        [(t["training"][r] != 0) & (t["count"][r] != 0) for t, r in zip(tables, rows, strict=True)]
    )
    paths, rows = [p for p, yes in zip(paths, ran, strict=True) if yes], [r[ran] for r in rows]
    return _norms(paths, tables, rows) if paths else []


def _norms(paths: Sequence[str], tables: Sequence[Table], rows: Sequence[np.ndarray]) -> list[Norm]:
    """Of these paths, which are in these rows of the tables of the looks."""

    def column(name: str) -> np.ndarray:
        """Shape (looks, norms)."""
        return np.array([t[name][r] for t, r in zip(tables, rows, strict=True)])

    samples, count = column("samples"), column("count")
    shift, stretch = (np.sqrt(column(name) / count) for name in ("shift_sq", "stretch_sq"))
    error = CHANCE / np.sqrt(samples)
    off = (shift > np.maximum(SHIFT, error)) | (stretch > np.maximum(STRETCH, np.sqrt(2) * error))
    most, off = samples.max(0), off.all(0)
    shift, stretch = medians(shift.T), medians(stretch.T)
    moved, momentum = column("moved")[-1], column("momentum")[-1]
    return [
        Norm(
            path=path,
            samples=float(most[i]),
            shift=float(shift[i]),
            stretch=float(stretch[i]),
            off=bool(off[i]),
            moved=bool(moved[i]),
            momentum=float(momentum[i]),
        )
        for i, path in enumerate(paths)
    ]


def behind(window: Window, *, looks: int) -> list[Norm]:
    """Norms whose running statistics are not those of the batches now, and were not at the latest looks."""
    return [norm for norm in norms(window, looks=looks) if norm.off]


def slip(window: Window, *, looks: int) -> Slip | None:
    """What is certain of the norms after that many looks; None if all may be well."""
    found = norms(window, looks=looks)
    fixed = [n for n in found if n.off and not n.moved]
    if fixed:
        seen = window.finite.looks("normalisation")
        steps = seen[-1].step - seen[0].step
        return Slip(
            norms=fixed,
            cause="running statistics that never change: evaluation differs from training",
            message=f"The running statistics of {fixed[0].path} have not moved in {steps} steps"
            f" (momentum {fixed[0].momentum:.3g}), and those of its batches are {fixed[0].distance}.",
            remedies=(MOMENTUM,),
        )
    if found and all(n.samples <= 2 for n in found):
        return Slip(
            norms=found,
            cause="batch normalisation over two values: evaluation differs from training",
            message=f"{found[0].path} normalises over two values of a channel, of which one always becomes"
            " 1 and the other -1.",
            remedies=(GROUPS, LAYER),
        )
    return None
