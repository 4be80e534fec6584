"""What the engine says of itself; without it these two codes would be the only ones that nobody explains."""

from typing import ClassVar

from torchvitals.core.protocols import Documented


class PartFailed(Documented):
    """A diagnostic, probe or reporter that raised; it is off from then on, and the training goes on.

    What it measures: every call into a part of torchvitals or of a plugin, for exceptions.

    Why it matters: what the part would have found is not found any more, so that the verdict covers less. It
    is a note and changes no verdict: it says nothing about the training.

    When it is wrong: never; but a probe may have failed on something odd in the model that is worth a look.

    What to try: `watch(..., strict=True)` raises the exception where it happens. For a plugin,
    `torchvitals.testing.check_diagnostic` shows most mistakes without a training.

    Source: own; a monitor must never cost a training.
    """

    code: ClassVar[str] = "TV001"
    name: ClassVar[str] = "part-failed"


class BlindSpot(Documented):
    """Something that could not be observed, told under "not seen" in reports and as `coverage.blind`.

    What it measures: sites, parameters and losses that a probe asked for and did not get: compiled modules,
    optimizers that never stepped, losses that nobody told.

    Why it matters: no finding at a place that nobody could see is not health. A run of which nothing was seen
    is "no data".

    When it is wrong: where a sentence speaks of something that is meant, such as a network that is called
    without gradients, it can be ignored.

    What to try: what the sentence says; most often calling `watch` before `torch.compile`, telling the loss
    to `vitals.step(loss)`, and handing over every optimizer.

    Source: own.
    """

    code: ClassVar[str] = "TV002"
    name: ClassVar[str] = "blind-spot"


ENGINE: dict[str, type[Documented]] = {cls.name: cls for cls in (PartFailed, BlindSpot)}
"""By name, as the registry has the diagnostics."""
