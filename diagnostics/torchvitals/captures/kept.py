"""Tensors of the latest steps: referred to and not copied, and brought to the host for a capture."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

SAMPLES = 64
"""Entries that are copied, to know later whether a tensor was overwritten behind the back of autograd."""


@dataclass(frozen=True)
class Kept:
    """A tensor that belongs to the user, as it was when it was seen."""

    x: Tensor
    """detached; shares memory and version with the user's"""
    version: int
    sample: Tensor | None
    """every n-th entry, on the tensor's device; None where none was taken"""
    requires_grad: bool

    @classmethod
    def of(cls, x: Tensor, *, sample: bool = True) -> "Kept":
        """Without a `sample` only in-place operations of torch will be noticed."""
        plain = x.detach()
        version = -1 if plain.is_inference() else plain._version
        return cls(plain, version, sampled(plain) if sample else None, x.requires_grad)

    @property
    def rewritten(self) -> bool:
        """Whether an in-place operation has changed it since; `sample` tells of other ways."""
        return self.version >= 0 and self.x._version != self.version


def sampled(x: Tensor) -> Tensor | None:
    """A copy of up to 2 * `SAMPLES` entries that lie evenly in memory."""
    if not x.is_contiguous() or not x.numel():
        return None
    return x.view(-1)[:: max(1, x.numel() // SAMPLES)].clone()


@dataclass
class Call:
    """One call of the model from outside."""

    given: Any
    """tree of [args, kwargs]"""
    random: Mapping[str, Any]
    outputs: list[tuple[int, int]] = field(default_factory=list)
    """address and number of entries of each floating output"""
    gradients: dict[int, list[str]] = field(default_factory=dict)
    """output to the keys of the gradients that came back to it, one a backward pass"""
    losses: list[Any] = field(default_factory=list)
    """trees of the loss functions that were called on an output"""


@dataclass
class Iteration:
    """One micro-batch."""

    index: int
    batch: Any = None
    """tree, where the adapter knows the batch"""
    random: Mapping[str, Any] = field(default_factory=dict)
    """states of the generators when the batch was told"""
    training: bool | None = None
    autocast: tuple[str, str] | None = None
    """type of device and dtype"""
    calls: list[Call] = field(default_factory=list)


@dataclass
class Step:
    """What is kept of one optimizer step."""

    step: int = 0
    iterations: list[Iteration] = field(default_factory=list)
    tensors: dict[str, Kept] = field(default_factory=dict)
    bytes: int = 0
    dropped: int = 0
    """micro-batches that there was no room for"""
    weights: dict[str, Tensor] | None = None
    """copies of parameters and buffers from before the update"""
    weights_why: str = ""
    """why there are none"""


class Landing:
    """Tensors on their way to the host, without waiting for a device."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        devices = {x.device for x in tensors.values() if x.is_cuda}
        bring: Callable[[Tensor], Tensor] = _pinned if devices else _here
        self._host = {key: bring(x) for key, x in tensors.items()}
        self._events = [_event(device) for device in devices]

    def ready(self) -> bool:
        return all(event.query() for event in self._events)

    def landed(self) -> dict[str, Tensor]:
        for event in self._events:
            event.synchronize()
        return self._host


def _pinned(x: Tensor) -> Tensor:
    if not x.is_cuda:
        return _here(x).clone()  # it is written later, and may be overwritten until then
    host = torch.empty(x.shape, dtype=x.dtype, pin_memory=True)
    return host.copy_(x, non_blocking=True)


def _here(x: Tensor) -> Tensor:
    return x.cpu().contiguous()


def _event(device: torch.device) -> torch.cuda.Event:
    with torch.cuda.device(device):
        event = torch.cuda.Event()
        event.record()
    return event


def stores(x: Tensor) -> bool:
    """Whether a tensor can be stored: those of special kinds (sparse, nested, distributed, ...) cannot."""
    plain = type(x) in (Tensor, torch.nn.Parameter) and x.layout is torch.strided and not x.is_nested
    return plain and not x.is_quantized and (x.is_cpu or x.is_cuda)
