"""What is known of one parameter's gradient since its optimizer's last step, as numbers on its device."""

from dataclasses import dataclass

import torch
from torch import Tensor

from torchvitals.probes.reduce import dense


@dataclass
class Testimony:
    """Fed by backward passes, closed by a step. All questions are answered on the device: nothing waits."""

    since_step: bool = False
    """whether it began with a step of the optimizer, so that all that happened since is known"""
    _stepping: bool = False
    _knows: bool = True
    _found_empty: Tensor | None = None
    """1 if some backward pass found no gradient"""
    _pending: Tensor | None = None
    """1 if `.grad` holds, or has lost, what nobody has consumed"""
    _dropped: Tensor | None = None
    _incoming_sq: Tensor | None = None
    """squared norm of what came into an empty `.grad`, 0 when more came on top"""
    _sum_sq: Tensor | None = None

    def backward(self, grad: Tensor | None, incoming: Tensor, scale: Tensor | float | None) -> None:
        """`incoming` is about to be added to `grad`; it is that of a loss times `scale`."""
        empty = _is_empty(grad, incoming)
        squared = _sum_sq(incoming)
        new = (squared != 0).double()
        if self._pending is None or self._dropped is None or self._found_empty is None:
            self._pending = self._dropped = self._found_empty = torch.zeros_like(empty)
        if not self._stepping:  # else a closure of the optimizer asks for several gradients
            self._dropped = self._dropped + empty * self._pending
        self._pending = torch.maximum(self._pending * (1 - empty), new)
        self._found_empty = torch.maximum(self._found_empty, empty)
        if scale is not None:
            squared = squared / torch.as_tensor(scale, device=squared.device).double().square()
        self._incoming_sq = torch.nan_to_num(squared * empty, nan=0.0, posinf=0.0)
        self._sum_sq = None

    def stepping(self, grad: Tensor | None, *, knows: bool) -> None:
        """The optimizer begins its step; `knows` if `incoming` and `grad` can be compared."""
        self._stepping, self._knows = True, knows
        if self._pending is not None and self._dropped is not None:
            empty = _is_empty(grad, self._pending)
            self._dropped = self._dropped + empty * self._pending
            self._pending = self._pending * (1 - empty)
            self._sum_sq = _sum_sq(grad) if grad is not None else torch.zeros_like(empty)

    def stepped(self, grad: Tensor | None) -> Tensor | None:
        """The optimizer has stepped: unzeroed, dropped, incoming_sq and sum_sq, if they are known."""
        if not self.since_step or self._found_empty is None:
            return None
        consumed = self._sum_sq
        if consumed is None:  # the backward pass ran inside of the step
            consumed = _sum_sq(grad) if grad is not None else torch.zeros_like(self._found_empty)
        return self._answer(1 - self._found_empty, consumed)

    def so_far(self) -> Tensor | None:
        """The same of a step in which the optimizer did not step: only what was dropped. Forgets it."""
        if self._dropped is None:
            return None
        nothing = torch.zeros_like(self._dropped)
        answer = torch.stack([nothing, self._dropped, nothing, nothing])
        self._dropped = nothing
        return answer

    def _answer(self, unzeroed: Tensor, consumed: Tensor) -> Tensor | None:
        if self._incoming_sq is None or self._dropped is None:
            return None
        known = torch.isfinite(consumed) & (self._incoming_sq > 0) & self._knows
        incoming = torch.where(known, self._incoming_sq, 0.0)
        return torch.stack([unzeroed, self._dropped, incoming, torch.nan_to_num(consumed, posinf=0.0)])


def _is_empty(grad: Tensor | None, like: Tensor) -> Tensor:
    """1 if there is no gradient or all of it is 0: a float64 scalar on the device of `like`."""
    if grad is None:
        return torch.ones((), dtype=torch.float64, device=like.device)
    return (dense(grad) == 0).all().double()


def _sum_sq(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(dense(x), dtype=torch.float64).square()
