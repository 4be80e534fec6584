"""Which optimizers have had their turn in a step; without it steps made by hand could not be told apart."""

from torch import Tensor
from torch.optim import Optimizer

from torchvitals.probes.scaler import Scaler


class Turns:
    """The turns of one step, and the losses that were backpropagated in it since the last question.

    One step holds at most one turn of each optimizer: a generator's and a discriminator's together are one.
    """

    def __init__(self) -> None:
        self._ready: set[int] = set()
        self._stepped: set[int] = set()
        self._losses: list[Tensor] = []
        self._seen: dict[int, int] = {}
        self._before = 0

    @property
    def stepped(self) -> bool:
        """Whether an optimizer has stepped."""
        return bool(self._stepped)

    def ready(self, optimizer: Optimizer) -> None:
        """Its gradients are complete; again where it evaluates a closure several times, of which the last
        counts.
        """
        if id(optimizer) in self._ready - self._stepped:
            del self._losses[: self._seen.get(id(optimizer), 0)]
        self._ready.add(id(optimizer))
        self._seen[id(optimizer)] = len(self._losses)

    def done(self, optimizer: Optimizer) -> None:
        """It has stepped."""
        self._stepped.add(id(optimizer))
        self._before = len(self._losses)

    def had(self, optimizer: Optimizer, scaler: Scaler | None) -> bool:
        """Whether it has had its turn, be it that the scaler skipped it."""
        updated = scaler is not None and scaler.updated()
        return id(optimizer) in self._stepped or (updated and id(optimizer) in self._ready)

    def loss(self, loss: Tensor) -> None:
        """It was backpropagated."""
        self._losses.append(loss)

    def take(self, *, begun: bool) -> list[Tensor]:
        """The losses so far; where the next step has `begun`, without those of it. They are told once."""
        count = self._before if begun else len(self._losses)
        taken, self._losses = self._losses[:count], self._losses[count:]
        self._before = 0
        self._seen.clear()
        return taken

    def end(self, *, scaled: bool) -> dict[str, str]:
        """The step is over: its labels."""
        skipped = scaled and bool(self._ready - self._stepped)
        self._ready.clear()
        self._stepped.clear()
        self._seen.clear()
        return {"skipped": "scaler"} if skipped else {}
