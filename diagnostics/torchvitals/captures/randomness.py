"""The states of the generators of random numbers: taken without a draw, and put back for a re-run."""

import ctypes
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

_numpy = np.random.mtrand._rand  # type: ignore[attr-defined]
"""numpy's global generator, which old code draws from"""
_MT19937 = 625 * 4
"""bytes of numpy's default generator: 624 words and a position"""

States = Mapping[str, np.ndarray]
"""Arrays by name: "torch", "cuda:0", ..., "python", "python.gauss", "numpy", "numpy.gauss"."""


class Taker:
    """Takes the states. Nothing is drawn, and no device is waited for: CUDA keeps its state on the host."""

    def __init__(self) -> None:
        self._bits: Any = None
        self._address = 0
        self._raw = b""
        self._numpy: dict[str, np.ndarray] = {}

    def take(self) -> dict[str, Any]:
        """What `arrays` makes arrays of; about 10 us on the CPU."""
        cuda = {}
        if torch.cuda.is_initialized() and not torch.cuda.is_current_stream_capturing():
            here = torch.cuda.current_device()
            cuda = {f"cuda:{here}": torch.cuda.get_rng_state(here)}
        return {
            "torch": torch.get_rng_state(),
            **cuda,
            "python": random.getstate(),
            "numpy": self._of_numpy(),
        }

    def _of_numpy(self) -> dict[str, np.ndarray]:
        """Asking numpy takes three times as long as all others together, and a loop that draws from it is
        rare: ask again only where the bytes of its generator have changed.
        """
        bits = _numpy._bit_generator
        if bits is not self._bits:
            self._bits, self._raw = bits, b""
            self._address = int(bits.ctypes.state_address) if type(bits).__name__ == "MT19937" else 0
        raw = ctypes.string_at(self._address, _MT19937) if self._address else b""
        if not raw or raw != self._raw:
            self._raw, self._numpy = raw, _numpy_state()
        return self._numpy


def arrays(taken: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """States as arrays that can be stored without pickle."""
    _, words, gauss = taken["python"]
    python = {"python": np.array(words, np.uint32)}
    if gauss is not None:
        python["python.gauss"] = np.array([gauss])
    devices = {k: v.numpy() for k, v in taken.items() if k == "torch" or k.startswith("cuda")}
    return {**devices, **python, **taken["numpy"]}


def restore(states: States, *, device: torch.device) -> None:
    """Put the states back, those of CUDA only where the re-run is on it."""
    if "torch" in states:
        torch.set_rng_state(torch.from_numpy(states["torch"].copy()))
    for name, state in states.items():
        if name.startswith("cuda") and device.type == "cuda":
            torch.cuda.set_rng_state(torch.from_numpy(state.copy()), device)
    if "python" in states:
        gauss = float(states["python.gauss"][0]) if "python.gauss" in states else None
        random.setstate((3, tuple(int(word) for word in states["python"]), gauss))
    if "numpy" in states:
        words, (has, cached) = states["numpy"], states["numpy.gauss"]
        _numpy.set_state(("MT19937", words[:-1], int(words[-1]), int(has), float(cached)))


def _numpy_state() -> dict[str, np.ndarray]:
    name, words, place, has_gauss, cached = _numpy.get_state()
    if name != "MT19937":
        return {}
    return {
        "numpy": np.append(words, np.uint32(place)).astype(np.uint32),
        "numpy.gauss": np.array([has_gauss, cached], np.float64),
    }
