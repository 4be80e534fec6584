"""What a chain of layers makes of the norms of signal and gradient, beside what theory makes of them."""

from dataclasses import dataclass

from torchvitals.builtin.parts.chain import Chain
from torchvitals.builtin.parts.theory import neutral
from torchvitals.core.snapshot import Snapshot, remembered


@dataclass(frozen=True, kw_only=True)
class Change:
    """Decades that the norm of something gained over the depth; negative where it lost them."""

    what: str
    measured: float
    predicted: float
    mended: float
    """what theory predicts of the same layers with weights of neutral variance"""

    @property
    def explained(self) -> bool:
        """Whether theory foresaw it, to a factor of two in the decades, and not with neutral weights."""
        foreseen = self.predicted / self.measured if self.measured else 0.0
        return 0.5 < foreseen < 2 and abs(self.mended) < abs(self.predicted) / 2


@remembered
def change_of(look: Snapshot) -> Change | None:
    """The larger of what signal and gradient gained or lost along the chain, where theory explains it."""
    chain = Chain.of(look)
    weights = [neutral(op) for op, _, _ in chain.changes]
    kept = [w for w in weights if w is not None]
    if len(kept) < len(weights):
        return None  # some activation lets nothing through, whatever the weights
    predicted, mended = chain.predicted(), chain.predicted(kept)
    found = [
        Change(what=what, measured=measured, predicted=predicted[i], mended=mended[i])
        for i, (what, measured) in enumerate((("signal", chain.signal), ("gradient", chain.gradient)))
        if measured is not None
    ]
    return max((c for c in found if c.explained), key=lambda c: abs(c.measured), default=None)
