"""A GradScaler as the engine sees it: its scale, and whether it let a step be skipped."""

from typing import Any

from torch import Tensor

from torchvitals.core.errors import FieldError


class Scaler:
    """Reads a `torch.amp.GradScaler`, or what has the same insides, without waiting for a device.

    `update` begins a new record of the optimizers that were seen, whatever it does to the scale: that is
    how an iteration with complete gradients is told from a micro-batch. A fused optimizer is called by the
    scaler in any case and skips by itself on the device; such skips are not told.
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

    def updated(self) -> bool:
        """Whether `update` was called since the last question."""
        before, self._record = self._record, self._records()
        return before is not self._record

    def _records(self) -> Any:
        return getattr(self._scaler, "_per_optimizer_states", None)
