"""A GradScaler as the engine sees it: its scale, which gradients still have it, and skipped steps."""

import sys
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from torchvitals.core.errors import FieldError

_FRAMES = 16
"""calls between an optimizer's hook and a scaler that calls the optimizer, at most"""


class Scaler:
    """Reads a `torch.amp.GradScaler`, or what has the same insides, without waiting for a device.

    `update` begins a new record of the optimizers that were seen, whatever it does to the scale: that is
    how an iteration with complete gradients is told from a micro-batch. A fused optimizer is called by the
    scaler in any case and skips by itself on the device: `overflow` tells.
    """

    def __init__(self, scaler: Any) -> None:
        if not callable(getattr(scaler, "is_enabled", None)):
            raise FieldError("scaler", scaler, "a torch.amp.GradScaler or None")
        self._scaler = scaler
        self._record = self._records()

    def scale(self) -> Tensor | float | None:
        """What the loss is multiplied by; None when the scaler is off."""
        if not self._scaler.is_enabled():
            return None
        scale = getattr(self._scaler, "_scale", None)
        return (
            scale if scale is not None else self._scaler.get_scale()
        )  # no tensor yet: a number it was given

    def pending(self, optimizer: Optimizer) -> Tensor | float | None:
        """What the optimizer's gradients are still multiplied by, before the scaler's `unscale_` and `step`;
        None afterwards.
        """
        state = (self._records() or {}).get(id(optimizer), {})
        ready = getattr(state.get("stage"), "name", "READY") == "READY"
        return self.scale() if ready else None

    def updated(self) -> bool:
        """Whether `update` was called since the last question."""
        before, self._record = self._record, self._records()
        return before is not self._record

    def _records(self) -> Any:
        return getattr(self._scaler, "_per_optimizer_states", None)


def inner_scale(optimizer: Optimizer) -> Tensor | None:
    """What a fused optimizer, in its step, will itself divide its gradients by."""
    scale = getattr(optimizer, "grad_scale", None)
    return scale if isinstance(scale, Tensor) else None


def overflow(optimizer: Optimizer) -> Tensor | None:
    """Above 0 if a fused optimizer will change nothing in the step that it is in; on its device."""
    found = getattr(optimizer, "found_inf", None)
    return found if isinstance(found, Tensor) else None


def calling_scaler() -> Any | None:
    """The GradScaler that has called the optimizer whose hook asks, if one has."""
    frame: Any = sys._getframe(1)
    for _ in range(_FRAMES):
        if frame is None:
            return None
        if frame.f_code.co_name == "step" and frame.f_globals.get("__name__") == "torch.amp.grad_scaler":
            return frame.f_locals.get("self")
        frame = frame.f_back
    return None
