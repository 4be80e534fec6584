"""Whether a validation runs on the weights that are trained; without it averaged ones look overfitted."""

import torch
from torch import Tensor, nn

from torchvitals.probes.shards import local

AVERAGED = (
    "The validation loss is that of other weights than those that are trained, such as averaged ones: it was "
    "not judged."
)


class Weights:
    """Notes a few weights at the moments of a validation: callbacks may exchange them at any of these."""

    def __init__(self) -> None:
        self._noted: list[Tensor] = []

    def note(self, module: nn.Module) -> None:
        """Keep a copy of the smallest parameter that is trained; of a sharded one, of the part here."""
        fit = [p for p in module.parameters() if p.requires_grad and p.numel()]
        if fit:
            self._noted.append(local(min(fit, key=lambda p: p.numel()).detach()).clone())

    def stayed(self) -> bool:
        """Whether they were the same at all moments since the last question; waits for the device."""
        first, *others = self._noted or [torch.zeros(())]
        self._noted = []
        return all(torch.equal(first.nan_to_num(), x.nan_to_num()) for x in others if x.shape == first.shape)
