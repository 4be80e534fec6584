"""Lets ranks agree to talk; without it a watch on one of them alone would hang the training."""

import time
from collections import Counter
from datetime import timedelta
from typing import Any, ClassVar

import torch.distributed as dist
from torch.distributed import distributed_c10d

PATIENCE = 5.0
"""Seconds for which a watch waits for those of the other ranks before the training begins."""
PAUSE = 0.01
"""Seconds between two questions to the store."""


class Agreement:
    """Whether all ranks of a process group watch the same model, decided once and alike on all of them.

    Each rank counts itself in the group's store. The first to see all of them there writes "yes"; who has
    waited for `PATIENCE` writes "no"; the store takes the first answer alone, and every rank follows it.
    """

    _made: ClassVar[Counter[str]] = Counter()
    """watches of each model in this process: the n-th on one rank belongs to the n-th on the others"""

    def __init__(self, group: Any, subject: str) -> None:
        self._size = dist.get_world_size(group)
        self._store = distributed_c10d._get_process_group_store(group)
        self._made[subject] += 1
        self._key = f"torchvitals/{subject}/{self._made[subject]}"

    def reached(self) -> bool:
        """Wait for the other ranks, no longer than `PATIENCE` seconds."""
        self._store.add(f"{self._key}/watching", 1)
        until = time.monotonic() + PATIENCE
        while True:
            if self._store.check([f"{self._key}/answer"]):
                break
            if self._store.add(f"{self._key}/watching", 0) == self._size:
                self._answer("yes")
                break
            if time.monotonic() > until:
                self._answer("no")
                break
            time.sleep(PAUSE)
        self._store.wait([f"{self._key}/answer"], timedelta(seconds=PATIENCE))
        return self._store.get(f"{self._key}/answer") == b"yes"

    def _answer(self, word: str) -> None:
        self._store.compare_set(f"{self._key}/answer", "", word)
