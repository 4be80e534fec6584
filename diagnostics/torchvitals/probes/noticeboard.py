"""Where the ranks of a training leave their numbers for each other; without it they would have to wait."""

import json
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any, ClassVar

import torch.distributed as dist
from torch.distributed import distributed_c10d

KEPT = 8
"""Latest notices of a rank that are kept, so that who is behind can still read them."""
PATIENCE = 4
"""Steps after a notice within which those of the others are looked for."""


class Noticeboard:
    """The key-value store by which the ranks of a process group once met.

    No rank ever waits for another: what is not there is not read. So nothing hangs where ranks are watched
    differently, or some not at all, or at other steps.
    """

    _made: ClassVar[Counter[str]] = Counter()
    """boards of each subject in this process: the n-th on one rank belongs to the n-th on the others"""

    def __init__(self, group: Any, subject: str) -> None:
        self._store = distributed_c10d._get_process_group_store(group)
        self._rank, self._size = dist.get_rank(group), dist.get_world_size(group)
        self._made[subject] += 1
        self._prefix = f"torchvitals/{subject}/{self._made[subject]}"
        self._mine: deque[int] = deque()

    def publish(self, step: int, numbers: Sequence[float]) -> None:
        """Leave this rank's numbers of a step, and take away those of long ago."""
        self._store.set(self._key(step, self._rank), json.dumps(list(numbers)))
        self._mine.append(step)
        if len(self._mine) > KEPT:
            self._store.delete_key(self._key(self._mine.popleft(), self._rank))

    def after(self, told: int, *, now: int) -> tuple[int, list[list[float]]] | None:
        """The next step after `told` of which all ranks have left their numbers, and these; None before there
        is one.

        Only for the first rank, which alone reports: were all to read, the store had ranks squared to serve.
        It is asked within some steps of a notice only, so that steps that are not due cost nothing.
        """
        if self._rank != 0 or not self._mine or now > self._mine[-1] + PATIENCE:
            return None
        for step in self._mine:
            keys = [self._key(step, rank) for rank in range(self._size)]
            if step > told and self._store.check(keys):
                return step, [json.loads(self._store.get(key)) for key in keys]
        return None

    def _key(self, step: int, rank: int) -> str:
        return f"{self._prefix}/{step}/{rank}"
