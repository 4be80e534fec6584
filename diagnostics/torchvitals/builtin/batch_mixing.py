"""TV106: finds models in which the samples of a batch influence each other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from torchvitals.builtin.parts.harm import RECENT, harm_since
from torchvitals.builtin.parts.losses import Losses
from torchvitals.builtin.parts.middle import median
from torchvitals.builtin.parts.progress import LEAST_FALL
from torchvitals.builtin.parts.trivial import trivial
from torchvitals.core.finding import Finding, Remedy, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.window import Window

STEPS = 1024
"""Units of the dtype's resolution that are rounding: kernels add in another order for another batch."""
NEXT_LOOKS = 3
"""Looks that show whether the same batch comes again and again."""


@dataclass(frozen=True, kw_only=True)
class BatchMixing(Diagnostic):
    """A model whose output for one sample changes when the other samples of the batch do.

    What it measures: by how much a sample's output changes, in units of the outputs' scale, when the other
    samples are exchanged; once, in eval mode, where batch normalisation does not count. For sequences also
    whether the model tells places along dimension 1 apart.

    Why it matters: a softmax, a normalisation or a reshape over the wrong dimension lets samples leak into
    each other. The loss falls all the same, and the model is of no use for one sample at a time.

    When it is wrong: dimension 0 need not be the batch. It is time where the sequence comes first, and nodes
    where the input is a graph. So a warning takes inputs that change from step to step, as those of one big
    graph do not, and one target per row of dimension 0, no more and no fewer. Of sequences it may also be a
    model that tells places along dimension 1 apart, as nobody does with samples, and as many targets at each
    step, as sentences taken one by one do not have. Else it is a note, until the loss stands still for
    `patience` steps at that of a constant prediction. It stays one where there are as many classes as
    samples, which is a contrast within the batch, and where there are two floating inputs, one of which may
    be an adjacency.

    What to try: check the `dim` of softmax, normalise, mean and cumsum, and every reshape or transpose that
    touches dimension 0; nn.LSTM and nn.MultiheadAttention take the sequence first unless batch_first=True.

    Source: own; a bug that the outputs of a single batch cannot show.
    """

    code: ClassVar[str] = "TV106"
    name: ClassVar[str] = "batch-mixing"
    needs: ClassVar[frozenset[str]] = frozenset({"mixing", "features", "loss"})
    ranges: ClassVar = {"mixing": (1e-7, 1), "patience": (24, 1_000_000_000)}

    mixing: float = 1e-3
    """change over the scale of the outputs from which samples influence each other; in [1e-7, 1]; at least
    1,024 units of rounding
    """

    patience: int = 192
    """steps after which a loss that stands still makes a note a warning; from 24"""

    def diagnose(self, window: Window) -> Iterator[Finding]:
        looks = window.looks("mixing")
        look = next((s for s in looks if len(s["mixing"])), None)
        batches = _batches(window)
        if look is None or len(batches) < 2:
            return
        mixing, limit = float(look["mixing"]["mixing"][-1]), self._limit(look)
        if mixing <= limit:
            return
        changing = len({_print(s) for s in batches}) > 1
        sure = changing and (_one_target_a_row(look) or _tells_places_apart(batches, look, limit))
        still = changing and not sure and self._stands_still(window, look)
        names = look["mixing"].names
        first = names[int(np.argmax(look["mixing"]["mixing"] > limit))]
        yield self.finding(
            Severity.WARNING if sure or still else Severity.INFO,
            where=tuple(dict.fromkeys((first, names[-1]))),
            since=look.step,
            message=f"A sample's output changes by {mixing:.1g} of its scale when the other samples of "
            "the batch change" + _doubt(sure=sure, still=still),
            cause="softmax over the batch axis" if _by_softmax(look) else "an operation over the batch axis",
            evidence={
                "mixing": mixing,
                "one_target_per_row": str(_one_target_a_row(look)).lower(),
                "loss_stands_still": str(still).lower(),
            },
            remedies=(
                Remedy("Check the dim of softmax, normalise and mean, and reshapes that touch dimension 0."),
                Remedy(
                    "Give nn.LSTM, nn.GRU and nn.MultiheadAttention batch_first=True if the batch is first."
                ),
            ),
        )

    def _stands_still(self, window: Window, look: Snapshot) -> bool:
        """Whether it has stood so long at that of a constant prediction that the mixing is rather the reason
        than the way time is laid out.
        """
        bar, losses = trivial(window), Losses.of(window).values
        several = "features" in look and len(look["features"]) > 1
        if window.latest.step - look.step < self.patience or bar is None or several or _contrast(look):
            return False
        blind = median(losses[-RECENT:]) > (1 - LEAST_FALL) * bar
        return blind and harm_since(window, look.step, look.step) is not None

    def _limit(self, look: Snapshot) -> float:
        resolution = 0.0
        if "activation" in look and "resolution" in look["activation"].columns:
            resolution = float(look["activation"]["resolution"].max(initial=0.0))
        return max(self.mixing, STEPS * resolution)


def _doubt(*, sure: bool, still: bool) -> str:
    if still:
        return ", and the loss stands still."
    return "." if sure else ", which may be meant: dimension 0 need not be the batch."


def _by_softmax(look: Snapshot) -> bool:
    return "loss" in look and bool(np.any((look["loss"]["axis"] == 0) & (look["loss"]["classes"] > 1)))


def _contrast(look: Snapshot) -> bool:
    """Whether some loss function has as many classes as there are samples."""
    table = look["mixing"]
    rows = float(table["batch"][-1]) if "batch" in table.columns else 0.0
    return "loss" in look and bool((look["loss"]["classes"] == rows).any())


def _tells_places_apart(batches: Sequence[Snapshot], look: Snapshot, limit: float) -> bool:
    """Whether dimension 1 is not that of the samples, so that dimension 0 has to be.

    As many targets come at every look, each of them of a row or of a place in it.
    """
    table = look["mixing"]
    if "across" not in table.columns or not table["across"][-1] > limit:
        return False
    counts = {s["loss"]["count"][0] for s in batches if "loss" in s and len(s["loss"])}
    rows = float(table["batch"][-1])
    return len(counts) == 1 and next(iter(counts)) % rows == 0 and not _contrast(look)


def _one_target_a_row(look: Snapshot) -> bool:
    """Whether the loss took as many targets as the one floating input has rows along dimension 0."""
    if "features" not in look or "loss" not in look or len(look["features"]) != 1 or not len(look["loss"]):
        return False
    given, loss = look["features"], look["loss"]
    per_row = given["count"][0] - given["freedom"][0]
    rows = round(given["count"][0] / per_row) if per_row > 0 else 0
    return rows > 1 and loss["count"][0] == rows and loss["classes"][0] != rows


def _batches(window: Window) -> tuple[Snapshot, ...]:
    """The first looks that show whether the same batch comes again and again."""
    return (window.looks("features") or window.looks("loss"))[:NEXT_LOOKS]


def _print(look: Snapshot) -> tuple[float, ...]:
    """What tells one batch from another; the same rows in another order are the same."""
    table = look.tables.get("features")
    if table is not None:
        return tuple(float(f"{x:.6g}") for name in ("count", "sum_sq", "spread") for x in table[name])
    return tuple(float(x) for name in ("count", "target_sum", "target_sq") for x in look["loss"][name])
