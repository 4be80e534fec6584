"""TV503: finds training data that come sorted by class."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torchvitals.builtin.parts.classes import Classes
from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.window import Window

SURPRISE = 4.0
"""Standard deviations by which successive batches have to share more classes than chance gives."""


@dataclass(frozen=True, kw_only=True)
class DataOrder(Diagnostic):
    """Batches that hold few of the classes each, and other ones every time: nobody shuffled the data.

    What it measures: which classes are among the targets of each batch. From the share of batches that hold a
    class follows how common it is, if batches are drawn at random; over all classes these shares must come to
    1. Where samples come sorted they come to a small part of it, whatever the classes' true shares.

    Why it matters: gradients of sorted batches agree with one another and not with those of the whole set:
    each class is learned while it passes and forgotten after.

    When it is wrong: rare classes are missing in most batches of a random order, too, but then a common one
    is in nearly all of them, and no judgement is made. Batches of chosen classes, each with several samples,
    as metric learning takes them, follow one another without memory; classes taught in stages stay
    together for many steps. Both are left alone, unless each batch holds one class only. Targets of which a
    sample has many (pixels, words) are not judged.

    What to try: shuffle the training data.

    Source: 1 - (1 - p)^n of all batches of n random samples hold a class of share p.
    """

    code: ClassVar[str] = "TV503"
    name: ClassVar[str] = "data-order"
    needs: ClassVar[frozenset[str]] = frozenset({"loss", "features", "activation"})
    ranges: ClassVar = {
        "max_mass": (0, 1),
        "looks": (4, 64),
        "min_samples": (2, 1e9),
        "max_presence": (0, 1),
        "memory": (1, 1e3),
    }

    max_mass: float = 0.35
    """sum of the classes' shares that a random order would imply, below which there is none; in [0, 1]"""
    looks: int = 8
    """fewest looks to judge; 4 to 64"""
    min_samples: int = 8
    """fewest samples of a batch that tell an order; from 2"""
    max_presence: float = 0.75
    """share of looks that hold one and the same class, from which nothing is known of its share; in [0, 1]"""
    memory: float = 2.5
    """classes that a batch shares with the next, over those that it shares with later ones; from 1"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        for classes in Classes.of(window):
            if self._sorted(classes):
                yield self._finding(classes)
                return

    def _sorted(self, classes: Classes) -> bool:
        enough = len(classes) >= self.looks and classes.samples >= self.min_samples
        if not enough or classes.known < 2 or classes.presence.max() > self.max_presence:
            return False
        return classes.mass < self.max_mass and (
            classes.typical == 1
            or (classes.memory > self.memory and classes.surprise > SURPRISE and not classes.staged)
        )

    def _finding(self, classes: Classes) -> Finding:
        return self.finding(
            Severity.WARNING,
            where=(classes.site,),
            since=classes.since,
            message=f"A batch holds {classes.typical:.0f} of {classes.known} classes; in a random order "
            f"{classes.expected:.1f} would be expected.",
            cause="the data are sorted by class and not shuffled",
            evidence={
                "classes_per_batch": classes.typical,
                "classes": classes.known,
                "expected_per_batch": classes.expected,
                "implied_mass": classes.mass,
                "memory": classes.memory,
            },
            remedies=(Remedy("Shuffle the training data: DataLoader(..., shuffle=True)."),),
        )
