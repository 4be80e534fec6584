"""Where the ranks of a training leave their numbers for each other; without it they would have to wait."""

import hashlib
import json
from collections import deque
from contextlib import suppress
from datetime import timedelta
from typing import Any

import torch.distributed as dist
from torch.distributed import distributed_c10d

from torchvitals.probes.team import Team

KEPT = 8
"""Latest notices of a rank that are kept, so that who is behind can still read them."""
TIMEOUT = timedelta(seconds=1)
"""Longest time that reading a notice takes, even if it is taken away in that very moment."""


class Noticeboard:
    """The key-value store by which the ranks of a training once met.

    No rank ever waits for another: what is not there is not read. So nothing hangs where ranks are watched
    differently, or some not at all, or at other steps.
    """

    def __init__(self, team: Team, subject: str) -> None:
        world = dist.group.WORLD
        assert world is not None, "a team has a process group"
        self._store = _connected(distributed_c10d._get_process_group_store(world))
        self._me, self._others = team.me, team.ranks[1:]
        digest = hashlib.sha256(f"{subject} {team.ranks}".encode()).hexdigest()[:16]
        # The n-th board of a subject on one rank belongs to the n-th on the others.
        made = self._store.add(f"torchvitals/{digest}/made/{team.me}", 1)
        self._prefix = f"torchvitals/{digest}/{made}"
        self._mine: deque[int] = deque()

    def publish(self, step: int, notice: bytes) -> None:
        """Leave this rank's notice of a step, and take away that of long ago."""
        self._store.set(self._key(step, self._me), notice)
        self._mine.append(step)
        if len(self._mine) > KEPT:
            self._store.delete_key(self._key(self._mine.popleft(), self._me))

    def complete(self, step: int) -> bool:
        """Whether all ranks but the first have left a notice of the step. Only the first one asks: were all
        to, the store had ranks squared to serve.
        """
        return self._store.check([self._key(step, rank) for rank in self._others])

    def read(self, step: int) -> list[bytes]:
        """The notices of all ranks but the first; ask `complete` before."""
        return [self._store.get(self._key(step, rank)) for rank in self._others]

    def call_off(self, step: int, reason: str) -> None:
        """Ask all ranks to end the training after that step."""
        self._store.set(f"{self._prefix}/end", json.dumps([step, reason]))

    def called_off(self) -> tuple[int, str] | None:
        """The step after which to end, and why; None where nobody has asked for it."""
        if not self._store.check([f"{self._prefix}/end"]):
            return None
        step, reason = json.loads(self._store.get(f"{self._prefix}/end"))
        return int(step), str(reason)

    def _key(self, step: int, rank: int) -> str:
        return f"{self._prefix}/{step}/{rank}"


def _connected(store: Any) -> Any:
    """A connection of our own, where the store has such: with a timeout of our own."""
    with suppress(Exception):
        store = store.clone()
        store.set_timeout(TIMEOUT)
    return store
