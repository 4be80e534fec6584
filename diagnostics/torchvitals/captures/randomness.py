"""The states of the generators of random numbers: taken without a draw, and put back for a re-run."""

import random
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import torch

_numpy = np.random.mtrand._rand  # type: ignore[attr-defined]
"""numpy's global generator, which old code draws from"""
CHECK_EVERY = 64
"""Looks at a generator that was never seen to be used between two checks whether it is."""

States = Mapping[str, np.ndarray]
"""Arrays by name: "torch", "cuda:0", ..., "python", "python.gauss", "numpy", "numpy.gauss"."""


class Seldom:
    """The state of a generator that most trainings never draw from, and that is slow to ask.

    It is asked at the first looks and at every 64th; as long as it has not changed between two, it had that
    state at all looks in between. Once it has, it is asked at every look.
    """

    def __init__(self, ask: Callable[[], Any]) -> None:
        self._ask = ask
        self._state: Any = None
        self._used = False
        self._looks = self._unasked = 0
        self._doubtful_until = 0

    def look(self) -> Any:
        self._looks += 1
        if self._used or self._looks <= 4 or self._looks % CHECK_EVERY == 0:
            self._check()
        else:
            self._unasked += 1
        return self._state

    def doubtful(self) -> bool:
        """Whether what one of the latest looks gave may be wrong."""
        self._check()
        return self._looks < self._doubtful_until

    def _check(self) -> None:
        now = self._ask()
        if self._looks > 1 and now != self._state:
            self._used = True
            if self._unasked:
                self._doubtful_until = self._looks + CHECK_EVERY
        self._state, self._unasked = now, 0


class Taker:
    """Takes the states. Nothing is drawn, and no device is waited for: CUDA keeps its state on the host."""

    def __init__(self) -> None:
        self._seldom = {"python": Seldom(random.getstate), "numpy": Seldom(_numpy_state)}

    def take(self) -> dict[str, Any]:
        """What `arrays` makes arrays of."""
        cuda = {}
        if torch.cuda.is_initialized() and not torch.cuda.is_current_stream_capturing():
            here = torch.cuda.current_device()
            cuda = {f"cuda:{here}": torch.cuda.get_rng_state(here)}
        seldom = {name: one.look() for name, one in self._seldom.items()}
        return {"torch": torch.get_rng_state(), **cuda, **seldom}

    def doubtful(self) -> list[str]:
        """Generators that were first used not long ago: some of the latest states may be wrong."""
        return [name for name, one in self._seldom.items() if one.doubtful()]


def arrays(taken: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """States as arrays that can be stored without pickle."""
    found = {k: v.numpy() for k, v in taken.items() if k == "torch" or k.startswith("cuda")}
    if "python" in taken:
        _, words, gauss = taken["python"]
        found["python"] = np.array(words, np.uint32)
        found |= {"python.gauss": np.array([gauss])} if gauss is not None else {}
    if taken.get("numpy") is not None:
        words, place, *gauss = taken["numpy"]
        found["numpy"] = np.append(np.frombuffer(words, np.uint32), np.uint32(place)).astype(np.uint32)
        found["numpy.gauss"] = np.array(gauss, np.float64)
    return found


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


def _numpy_state() -> tuple[Any, ...] | None:
    """Words, place in them, and whether a second normal number is waiting, and which."""
    name, words, *rest = cast("tuple[Any, ...]", _numpy.get_state())
    return (words.tobytes(), *rest) if name == "MT19937" else None
