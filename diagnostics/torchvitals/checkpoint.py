"""The state of a watch as a checkpoint can hold it; without it a resumed run would look like a new one."""

import json
import zlib
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import torch

from torchvitals.core.errors import TorchvitalsError

FORMAT = 1


class Unreadable(TorchvitalsError, ValueError):
    """The state is not one that this version can read."""


def packed(state: Mapping[str, Any]) -> dict[str, Any]:
    """Two words and a uint8 tensor of shape (bytes,): `torch.load` reads them with `weights_only=True`."""
    text = json.dumps(state, separators=(",", ":"), default=_plain)
    data = bytearray(zlib.compress(text.encode()))
    return {
        "format": FORMAT,
        "torchvitals": version("torchvitals"),
        "packed": torch.frombuffer(data, dtype=torch.uint8),
    }


def unpacked(state: Any) -> dict[str, Any]:
    """What `packed` was given; raises `Unreadable` with the reason."""
    known = state.get("format") if isinstance(state, Mapping) else None
    if known != FORMAT:
        raise Unreadable(f"it has format {known!r}, and this version reads {FORMAT}")
    try:
        return json.loads(zlib.decompress(state["packed"].cpu().numpy().tobytes()))
    except Exception as error:  # whatever was made of it on its way
        raise Unreadable(f"it is damaged ({type(error).__name__})") from error


def _plain(value: Any) -> Any:
    """Numbers of numpy as Python's: evidence may hold them."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{value!r} is no plain value")
