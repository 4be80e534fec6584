"""What diagnostics judge: the recent past, and the first looks of the run to compare it with."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from torchvitals.core.errors import FieldError
from torchvitals.core.snapshot import Snapshot


@dataclass(frozen=True)
class Window:
    """The last `size` snapshots; of those with tables, and of those with a validation loss, the last `size`
    and the first `head`.

    Its length is bounded whatever the run's. `add` gives a new window; a window never changes.
    """

    snapshots: tuple[Snapshot, ...] = ()
    size: int = field(default=64, kw_only=True)
    """snapshots of each sort that are kept; 1 or more"""
    head: int = field(default=16, kw_only=True)
    """first snapshots of either sort, kept for the whole run; 1 or more"""

    def __post_init__(self) -> None:
        for name in ("size", "head"):
            if getattr(self, name) < 1:
                raise FieldError(name, getattr(self, name), "a whole number from 1")

    def __len__(self) -> int:
        return len(self.snapshots)

    @property
    def latest(self) -> Snapshot:
        return self.snapshots[-1]

    def add(self, snapshot: Snapshot) -> "Window":
        if _is_light(snapshot):
            return Window((*self._less_one, snapshot), size=self.size, head=self.head)
        snapshots = (*self.snapshots, snapshot)
        measured = [s.step for s in snapshots if s.tables]
        validated = [s.step for s in snapshots if "val_loss" in s.scalars]
        kept = {*measured[: self.head], *measured[-self.size :], *(s.step for s in snapshots[-self.size :])}
        kept |= {*validated[: self.head], *validated[-self.size :]}
        return Window(tuple(s for s in snapshots if s.step in kept), size=self.size, head=self.head)

    @property
    def _less_one(self) -> tuple[Snapshot, ...]:
        """The snapshots without the one that a light one pushes out of the last `size`, if it is light too:
        any other stays among the last of its sort. Most steps are light, and this is done at each.
        """
        place = len(self) - self.size
        if place < 0 or not _is_light(self.snapshots[place]):
            return self.snapshots
        return self.snapshots[:place] + self.snapshots[place + 1 :]

    def looks(self, *kinds: str) -> tuple[Snapshot, ...]:
        """The snapshots that hold a table of each of these kinds, oldest first."""
        if kinds not in self._looks:
            self._looks[kinds] = self._holding(frozenset(kinds))
        return self._looks[kinds]

    def _holding(self, kinds: frozenset[str]) -> tuple[Snapshot, ...]:
        """Most looks of a run measure the same kinds, so that one answer often holds for all of them."""
        if not kinds:
            return self.snapshots
        holds = {layout: kinds <= layout for layout in self._layouts}
        if all(holds.values()):
            return self._measured
        if not any(holds.values()):
            return ()
        return tuple(s for s in self._measured if holds[s.kinds])

    @cached_property
    def _measured(self) -> tuple[Snapshot, ...]:
        return tuple(s for s in self.snapshots if s.tables)

    @cached_property
    def _layouts(self) -> frozenset[frozenset[str]]:
        return frozenset(s.kinds for s in self._measured)

    @cached_property
    def _looks(self) -> dict[tuple[str, ...], tuple[Snapshot, ...]]:
        """What `looks` has been asked for: every diagnostic asks, and a window never changes."""
        return {}

    @cached_property
    def _readings(self) -> dict[Any, Any]:
        """What `remembered` functions made of it."""
        return {}

    @cached_property
    def finite(self) -> "Window":
        """The window without the snapshots that hold a NaN or Inf, which are no basis for a comparison."""
        kept = tuple(s for s in self.snapshots if not s.nonfinite)
        # What was read of the one is then known of the other.
        return self if len(kept) == len(self) else replace(self, snapshots=kept)


def _is_light(snapshot: Snapshot) -> bool:
    """Whether it holds nothing that outlives the last steps."""
    return not snapshot.tables and "val_loss" not in snapshot.scalars
