"""Makes of what each rank measured what one process would have measured, without any rank waiting."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from torch.nn.modules.batchnorm import _BatchNorm

from torchvitals.core.tables import NONE_BAD, Table
from torchvitals.probes.merging import (
    FORWARD,
    PARAMETERS,
    RANKS,
    averaged,
    losses_mean,
    merged,
    of_rank,
    rows,
)
from torchvitals.probes.parcel import packed, unpacked
from torchvitals.probes.shards import is_spread, owns
from torchvitals.probes.subject import Subject
from torchvitals.probes.team import MOST, team_of

if TYPE_CHECKING:
    from torchvitals.probes.noticeboard import Noticeboard

PATIENCE = 8
"""Steps after a look within which the other ranks' tables of it are looked for."""
MISSES = 3
"""Looks in a row that were in vain, after which nobody waits a step for them any more."""

NOTICE = 8
"""Steps that the other ranks have to read that the training is to end."""
LINGER = 0.5
"""Seconds that the first rank waits at the end of a training for the others' last looks, if they told of all
before.
"""

Tables = dict[str, Table]


class Exchange:
    """Every rank but the first leaves its tables on a board at the looks that are due by the schedule, and
    the first one merges those of each look that all have told.

    Of replicas of a parameter the first rank's counts, of sharded ones every part once: as long as a part is
    missing the parameter is absent. What a forward pass gave is merged over the ranks with other batches; the
    gradients that come back to it are those of a loss that is a mean over the ranks.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._team, self._why_not = team_of(subject)
        self._board = self._opened()
        self._spread: dict[str, float] = {}
        self._owned: set[str] = set()
        self._lost = NONE_BAD
        self._missed = 0
        self._merged = False
        self._end: float | None = None
        self._end_at: tuple[int, str] | None = None
        self._in_vain = False
        self.refresh()

    def refresh(self) -> None:
        """Look again which parameters are sharded."""
        found = [(name, p) for name, p in self._subject.parameters if self._subject.sharded and is_spread(p)]
        self._spread = {name: float(p.numel() * (1 + p.is_complex())) for name, p in found}
        if self._team is not None:
            self._owned = {name for name, p in found if owns(p, self._team.first)}

    def arrived(self, step: int, *, now: int) -> bool:
        """Whether there is nothing more to wait for before the tables of a look are taken."""
        if self._board is None or self._team is None or self._team.place:
            return True
        try:
            if self._board.complete(step):
                return True
        except Exception as error:
            self._give_up(error)
            return True
        return now > step + (PATIENCE if self._missed < MISSES else 0)

    def linger(self, step: int) -> None:
        """The training is over: give the other ranks, which end at the same time, a moment to tell."""
        self._end = self._end or time.monotonic() + LINGER
        tell = self._missed == 0 or (self._missed < MISSES and not self._merged)
        while tell and time.monotonic() < self._end:
            if self.arrived(step, now=step):
                self._end = None  # it may be a checkpoint that is saved, and not the end
                return
            time.sleep(0.005)

    def merge(
        self, step: int, tables: Tables, scalars: Mapping[str, float], *, shared: bool
    ) -> tuple[Tables, dict[str, float], dict[str, str]]:
        """Tables, scalars and labels of a step as the first rank may tell them; `shared` if by the schedule
        all ranks looked at it.
        """
        if self._team is None:
            tables = self._alone(tables) if self._spread else tables
            return tables, dict(scalars), self._labels(tables, whole=False)
        loss = scalars.get("loss")
        if loss is not None and not np.isfinite(loss):
            self._lost = min(self._lost, float(step))
        tables = averaged(tables, len(self._team.batches))
        told = {**scalars, "ranks": float(len(self._team.ranks))}
        whole = False
        try:
            if shared and self._board is not None:
                tables, told, whole = self._exchanged(self._board, step, tables, told)
        except Exception as error:
            self._give_up(error)
        if not whole:
            tables = self._alone(tables)
        return tables, told, self._labels(tables, whole=whole)

    def agreed(self, reason: str | None, step: int) -> str | None:
        """Why all ranks end the training now, so that none waits for one that has left: the first one's
        `reason`, some steps after it came up, when all have read it. Never, where it is not known that the
        others are watched.
        """
        if self._team is None or self._board is None:
            return reason if self._team is None else None
        self._in_vain = reason is not None and not self._merged and not self._team.place
        try:
            if self._end_at is None and reason is not None and self._merged:
                self._end_at = step + NOTICE, reason
                self._board.call_off(*self._end_at)
            elif self._end_at is None and self._team.place:
                self._end_at = self._board.called_off()
        except Exception as error:
            self._give_up(error)
        return self._end_at[1] if self._end_at is not None and step >= self._end_at[0] else None

    def blind(self) -> list[str]:
        """One sentence for each thing that could not be merged."""
        told = []
        if self._team is None:
            return [f"Sharded parameters were not measured: {self._why_not}."] if self._spread else []
        if self._why_not or not (self._merged or self._team.place):
            why = self._why_not or "the others told nothing; call `watch` on every rank"
            told.append(f"Ranks were not compared or merged: {why}.")
        if self._in_vain:
            told.append(
                "`stop_on` did not end the training: other ranks, not watched, would have waited for ever."
            )
        if self._team.place and self._spread:
            told.append("Sharded parameters are told by the first rank alone.")
        if self._spread and not self._team.place:
            told.append(
                "Gradients of sharded parameters are known at looks alone, and not at the steps in between."
            )
        if unsummed := sorted(self._subject.unsummed):
            first, more = unsummed[0], len(unsummed) - 1
            told.append(f"Gradients and updates of {first} (+{more} more): ranks sum them in the optimizer.")
        if not self._team.replicas and self._team.batches != self._team.ranks:
            told.append("Of outputs that are split over ranks the first rank's part alone was measured.")
        if len(self._team.ranks) > MOST:
            told.append(f"Only the first {MOST} of {len(self._team.ranks)} ranks were merged.")
        if not self._team.replicas and any(isinstance(m, _BatchNorm) for m in self._subject.model.modules()):
            told.append("Batch norms were measured on the batches of the first rank alone.")
        return told

    def _opened(self) -> "Noticeboard | None":
        if self._team is None:
            return None
        try:
            from torchvitals.probes.noticeboard import Noticeboard  # some builds of torch have none

            return Noticeboard(self._team, " ".join(name for name, _ in self._subject.parameters))
        except Exception as error:  # a group without a store
            self._why_not = f"they have nowhere to leave numbers ({type(error).__name__})"
            return None

    def _give_up(self, error: Exception) -> None:
        self._board, self._why_not = None, f"this rank failed to ({type(error).__name__})"

    def _exchanged(
        self, board: "Noticeboard", step: int, tables: Tables, scalars: dict[str, float]
    ) -> tuple[Tables, dict[str, float], bool]:
        """On the first rank those of all, if all have told; elsewhere its own, which are published."""
        assert self._team is not None
        if self._team.place:
            loss = {name: scalars[name] for name in ("loss",) if name in scalars}
            board.publish(step, packed(self._parcel(tables), loss | {"lost": self._lost}))
            return tables, scalars, False
        if not board.complete(step):
            self._missed += 1
            return tables, scalars, False
        self._missed, self._merged = 0, True
        notices = [unpacked(parcel) for parcel in board.read(step)]
        told = [(i, own, more) for i, (own, more) in enumerate(notices, 1) if own.keys() & FORWARD]
        ranks = [of_rank(0, tables, self._lost), *(of_rank(i, own, more["lost"]) for i, own, more in told)]
        tables = merged([tables, *(own for own, _ in notices)])
        if told:
            tables |= merged(ranks)
        return self._complete(tables), losses_mean(scalars, (more for *_, more in told)), True

    def _parcel(self, tables: Tables) -> Tables:
        """What the first rank needs of this rank's tables."""
        team = self._team
        assert team is not None
        few = team.place < MOST
        chosen = {kind: table for kind, table in tables.items() if kind in RANKS}
        if few:
            for kind in PARAMETERS & tables.keys():
                chosen[kind] = rows(tables[kind], lambda name: name in self._spread and name in self._owned)
        if team.tells_batches:
            chosen |= {kind: table for kind, table in tables.items() if kind in FORWARD}
        return {kind: table for kind, table in chosen.items() if len(table)}

    def _complete(self, tables: Tables) -> Tables:
        """Without sharded parameters of which a part is missing; rows in execution order again."""
        if not self._spread:
            return tables
        place = {name: i for i, (name, _) in enumerate(self._subject.parameters)}
        for kind in PARAMETERS & tables.keys():
            table = tables[kind]
            whole = [
                i
                for i, name in enumerate(table.names)
                if name in place and self._spread.get(name, table["count"][i]) == table["count"][i]
            ]
            tables[kind] = table.take(sorted(whole, key=lambda i: place[table.names[i]]))
        return {kind: table for kind, table in tables.items() if len(table)}

    def _alone(self, tables: Tables) -> Tables:
        """What is true of this rank's tables without the others'."""
        kept = {kind: table for kind, table in tables.items() if kind not in RANKS}
        if self._spread:
            plain = {name for name, _ in self._subject.parameters} - self._spread.keys()
            for kind in PARAMETERS & kept.keys():
                kept[kind] = rows(kept[kind], lambda name: name in plain)
        return {kind: table for kind, table in kept.items() if len(table)}

    def _labels(self, tables: Tables, *, whole: bool) -> dict[str, str]:
        if not self._spread:
            return {}
        known = set(tables["gradient"].names) if "gradient" in tables else set()
        if not (whole and known):
            return {"sharded": "not merged"}
        return {"sharded": "merged" if self._subject.with_gradient <= known else "merged in part"}
