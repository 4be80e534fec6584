"""TV106: finds models in which the samples of a batch influence each other."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

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
    samples are exchanged; once, in eval mode, where batch normalisation does not count.

    Why it matters: a softmax, a normalisation or a reshape over the wrong dimension lets samples leak into
    each other. The loss falls all the same, and the model is of no use for one sample at a time.

    When it is wrong: dimension 0 need not be the batch. It is time where the sequence comes first, and nodes
    where the input is a graph. So a warning takes one target per row of dimension 0, no more and no fewer,
    and inputs that change from step to step, as those of one big graph do not; else it is a note. So it is
    where there are as many classes as samples, which is a contrast within the batch, and where there are two
    floating inputs, one of which may be an adjacency.

    What to try: check the `dim` of softmax, normalise, mean and cumsum, and every reshape or transpose that
    touches dimension 0; nn.LSTM and nn.MultiheadAttention take the sequence first unless batch_first=True.

    Source: own; a bug that the outputs of a single batch cannot show.
    """

    code: ClassVar[str] = "TV106"
    name: ClassVar[str] = "batch-mixing"
    needs: ClassVar[frozenset[str]] = frozenset({"mixing", "features", "loss"})
    ranges: ClassVar = {"mixing": (1e-7, 1)}

    mixing: float = 1e-3
    """change over the scale of the outputs from which samples influence each other; in [1e-7, 1]; at least
    1,024 units of rounding
    """

    def diagnose(self, window: Window) -> Iterator[Finding]:
        looks = window.looks("mixing")
        look = next((s for s in looks if len(s["mixing"])), None)
        if look is None or not (mixing := float(look["mixing"]["mixing"].max())) > self._limit(look):
            return
        batches = window.looks("features")[:NEXT_LOOKS]
        changing = len({_print(s) for s in batches}) > 1
        if len(batches) < 2:
            return
        sure = changing and _one_target_a_row(look)
        by_softmax = "loss" in look and bool(
            np.any((look["loss"]["axis"] == 0) & (look["loss"]["classes"] > 1))
        )
        yield self.finding(
            Severity.WARNING if sure else Severity.INFO,
            where=("model",),
            since=look.step,
            message=f"A sample's output changes by {mixing:.1g} of its scale when the other samples of "
            "the batch change"
            + ("." if sure else ", which may be meant: dimension 0 need not be the batch."),
            cause="softmax over the batch axis" if by_softmax else "an operation over the batch axis",
            evidence={"mixing": mixing, "one_target_per_row": str(sure).lower()},
            remedies=(
                Remedy("Check the dim of softmax, normalise and mean, and reshapes that touch dimension 0."),
                Remedy(
                    "Give nn.LSTM, nn.GRU and nn.MultiheadAttention batch_first=True if the batch is first."
                ),
            ),
        )

    def _limit(self, look: Snapshot) -> float:
        resolution = 0.0
        if "activation" in look and "resolution" in look["activation"].columns:
            resolution = float(look["activation"]["resolution"].max(initial=0.0))
        return max(self.mixing, STEPS * resolution)


def _one_target_a_row(look: Snapshot) -> bool:
    """Whether the loss took as many targets as the one floating input has rows along dimension 0."""
    if "features" not in look or "loss" not in look or len(look["features"]) != 1 or not len(look["loss"]):
        return False
    given, loss = look["features"], look["loss"]
    per_row = given["count"][0] - given["freedom"][0]
    rows = round(given["count"][0] / per_row) if per_row > 0 else 0
    return rows > 1 and loss["count"][0] == rows and loss["classes"][0] != rows


def _print(look: Snapshot) -> tuple[float, ...]:
    """What tells one batch from another; the same rows in another order are the same."""
    table = look["features"]
    return tuple(float(f"{x:.6g}") for name in ("count", "sum_sq", "spread") for x in table[name])
