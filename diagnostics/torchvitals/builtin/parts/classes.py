"""Which classes are among the targets of each batch, and what that says about the order of the data."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from torchvitals.builtin.parts.middle import median
from torchvitals.builtin.parts.wiring import column
from torchvitals.core.snapshot import Snapshot, remembered
from torchvitals.core.tables import Bits
from torchvitals.core.window import Window

DENSE = 1.5
"""Targets per sample from which a target is not one sample's class but one of its pixels' or words'."""

Row = tuple[int, Bits, float, float]
"""Step, classes among the targets, number of targets, and samples of a micro-batch."""


@dataclass(frozen=True)
class Classes:
    """Classes among the targets of one loss function, at all looks that saw it."""

    site: str
    steps: tuple[int, ...]
    present: np.ndarray
    """bool, shape (looks, classes)"""
    samples: float
    """median number of targets of a batch"""

    @staticmethod
    @remembered
    def of(window: Window) -> "list[Classes]":
        """One for each loss function that tells classes apart, one target a sample."""
        rows: dict[str, list[Row]] = {}
        for look in window.looks("loss"):
            for name, row in _rows(look).items():
                rows.setdefault(name, []).extend(row)
        parts = parts_of(window.snapshots) if rows else 1.0
        found = (_gather(name, told, parts) for name, told in rows.items())
        return [classes for classes in found if classes is not None]

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def since(self) -> int:
        return self.steps[0]

    @cached_property
    def presence(self) -> np.ndarray:
        """Share of looks that hold each class that was ever seen; in (0, 1]."""
        share = self.present.mean(0)
        return share[share > 0]

    @cached_property
    def known(self) -> int:
        """Classes seen so far."""
        return len(self.presence)

    @cached_property
    def typical(self) -> float:
        """Median number of classes of a batch."""
        return median(self.present.sum(1))

    @property
    def expected(self) -> float:
        """Number of classes of a batch in a random order, if all are equally common."""
        return float(self.known * (1 - (1 - 1 / self.known) ** self.samples))

    @cached_property
    def mass(self) -> float:
        """Sum over classes of the share that its presence implies in a random order, which is about 1."""
        seldom = np.minimum(self.presence, 1 - 0.5 / len(self))
        return float((1 - (1 - seldom) ** (1 / self.samples)).sum())

    @property
    def memory(self) -> float:
        """Classes that a batch shares with the one after it, over those that it shares with later ones; 0
        where none follows.
        """
        shared, chance = self._shared
        return shared / chance if chance else 0.0

    @property
    def surprise(self) -> float:
        """How far what they share is above chance, in standard deviations of a count."""
        shared, chance = self._shared
        return (shared - chance) / chance**0.5 if chance else 0.0

    @property
    def staged(self) -> bool:
        """Whether most batches that follow one another hold the same classes, and more than one."""
        same = [np.array_equal(self.present[a], self.present[b]) for a, b in self._neighbours]
        return bool(same) and float(np.mean(same)) > 0.5 and self.typical > 1

    @cached_property
    def _shared(self) -> tuple[float, float]:
        """Classes that all batches share with the one after them, and as many by chance."""
        pairs = self._neighbours
        rows = sorted({row for pair in pairs for row in pair})
        far = [(a, b) for i, a in enumerate(rows) for b in rows[i + 1 :] if self.steps[b] - self.steps[a] > 1]
        if not far:
            return 0.0, 0.0
        counts = self.present.astype(float)
        common = (counts @ counts.T).__getitem__
        by_chance = max(sum(map(common, far)), 1.0) / len(
            far
        )  # one at least, or nothing seen would be certain
        return float(sum(map(common, pairs))), float(by_chance * len(pairs))

    @cached_property
    def _neighbours(self) -> list[tuple[int, int]]:
        return [(i, i + 1) for i, (a, b) in enumerate(pairwise(self.steps)) if b - a == 1]


def _gather(name: str, told: Sequence[Row], parts: float) -> Classes | None:
    """None where it tells no classes apart, or a sample has many targets, or nobody knows how many."""
    if not told:
        return None
    steps, bits, counts, samples = zip(*told, strict=True)
    dense = any(count > DENSE * each * parts for count, each in zip(counts, samples, strict=True))
    if dense or len(set(map(len, bits))) > 1 or len(bits[0]) < 2:
        return None
    return Classes(name, steps, np.array(bits), median(counts))


@remembered
def _rows(look: Snapshot) -> dict[str, list[Row]]:
    """By loss function, the only row that there is; none where no class is known, or no number of samples."""
    table, samples = look["loss"], samples_of(look)
    if "present" not in table.units:
        return {}
    count = column(look, "loss", "count")
    return {
        name: [(look.step, bits, count[name], samples)] if samples and bits.any() else []
        for name, bits in zip(table.names, table.units["present"], strict=True)
    }


@remembered
def samples_of(look: Snapshot) -> float:
    """Samples of one micro-batch: entries over those of a sample, which the degrees of freedom leave out."""
    for kind in ("features", "activation"):
        count, freedom = column(look, kind, "count"), column(look, kind, "freedom")
        found = [count[name] / (count[name] - f) for name, f in freedom.items() if count[name] > f]
        if found:
            return found[0]
    return 0.0


def parts_of(snapshots: Sequence[Snapshot]) -> float:
    """Micro-batches of a step."""
    told = [(s.step, s.scalars["iteration"]) for s in snapshots if "iteration" in s.scalars]
    if len(told) < 2:
        return 1.0
    (first, before), (last, now) = told[0], told[-1]
    return max(1.0, (now - before) / (last - first))
