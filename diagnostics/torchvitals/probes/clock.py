"""How long torchvitals' own code runs, so that every report can say what watching cost."""

import time


class Clock:
    """Adds up host seconds spent inside of `with clock:`; nested uses count once."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._depth = 0
        self._started = 0.0

    def __enter__(self) -> "Clock":
        if self._depth == 0:
            self._started = time.perf_counter()
        self._depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self.seconds += time.perf_counter() - self._started
