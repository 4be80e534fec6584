"""Whose forward pass is followed, and how to learn that it ended without telling."""

import sys
from collections.abc import Callable
from threading import get_ident
from typing import Any

_FRAMES = 8
"""calls between a hook and the module's call that runs it, at most"""
_CALL = "_call_impl"
"""name of the function in which torch calls a module; compiled pieces of it have longer ones"""


class Turn:
    """One thread at a time: of passes side by side the first one is followed, and the others to their end are
    not, nor the modules inside of them.
    """

    def __init__(self) -> None:
        self.others = False
        """whether there were passes that nobody followed"""
        self._owner = 0
        self._depth: dict[int, int] = {}
        """of the threads that are inside of such passes"""

    def enters(self, *, busy: bool) -> bool:
        """Whether the calling thread's module is followed; `busy` if a pass is going on."""
        me = get_ident()
        if self._depth.get(me) or (busy and me != self._owner):
            self._depth[me] = self._depth.get(me, 0) + 1
            self.others = True
            return False
        self._owner = me
        return True

    def leaves(self) -> bool:
        """The same of a module that has ended."""
        me = get_ident()
        if self._depth.get(me):
            self._depth[me] -= 1
            return False
        return me == self._owner


class Fuse:
    """Calls `blown` when the outermost module's call is over, if `defuse` was not called before.

    Hooks, even those that are always called, are not where a call ends by KeyboardInterrupt or SystemExit.
    What is certain to happen then is that its frame goes away, and what lies in it; which for a
    traceback that somebody keeps may be late.
    """

    def __init__(self, blown: Callable[[], None]) -> None:
        self._blown: Callable[[], None] | None = blown
        frame = _frame_of_call()
        self._frame = id(frame)
        if frame is not None:
            frame.f_locals["torchvitals"] = _Ember(self)

    def defuse(self) -> None:
        self._blown = None

    def blow(self) -> None:
        blown, self._blown = self._blown, None
        if blown is not None:
            blown()

    @property
    def burns(self) -> bool:
        """Whether the call is still going on, as far as the calling thread is in it."""
        frame: Any = sys._getframe(1)
        while frame is not None and id(frame) != self._frame:
            frame = frame.f_back
        return frame is not None


class _Ember:
    """Lies in the frame and goes out with it."""

    def __init__(self, fuse: Fuse) -> None:
        self._fuse = fuse

    def __del__(self) -> None:
        self._fuse.blow()


def _frame_of_call() -> Any:
    frame: Any = sys._getframe(2)
    for _ in range(_FRAMES):
        if frame is None or _CALL in frame.f_code.co_name:
            break
        frame = frame.f_back
    return frame if frame is not None and _CALL in frame.f_code.co_name else None
