"""What a rank leaves for the first one: equal tables in few bytes, and nothing that waits or grows."""

import pickle
import time
import zlib

import numpy as np
import pytest
from hypothesis import given, settings

from tests.core.strategies import tables
from tests.support.gloo import on_ranks
from torchvitals.core.tables import Table
from torchvitals.probes.noticeboard import KEPT, Noticeboard
from torchvitals.probes.parcel import packed, unpacked
from torchvitals.probes.team import Team


@settings(max_examples=60, deadline=None)
@given(tables())
def test_a_parcel_brings_back_what_was_packed(table):
    found, scalars = unpacked(packed({table.kind: table}, {"loss": float("inf")}))
    assert found == {table.kind: table}
    assert scalars == {"loss": float("inf")}


def test_words_bits_and_empty_tables_come_back():
    table = Table(
        "silence",
        ("a", "b"),
        {"op": np.array(["relu", "gelu"]), "positions": np.array([1.0, np.inf])},
        {"fired": (np.array([True, False, True]), np.ones(9, bool))},
    )
    found, _ = unpacked(packed({"silence": table, "input": Table("input", ())}, {}))
    assert found == {"silence": table, "input": Table("input", ())}


@pytest.mark.parametrize("rubbish", [b"", b"rubbish", pickle.dumps({"loss": 0.0})])
def test_what_is_no_parcel_raises(rubbish):
    with pytest.raises(zlib.error):
        unpacked(rubbish)


def test_a_board_keeps_few_notices_and_reading_what_is_gone_does_not_wait():
    (waited, there), _ = on_ranks(_read)
    assert waited < 5.0
    assert there == [False] * 2 + [True] * KEPT


def _read(rank):
    import torch.distributed as dist

    team = Team((0, 1), rank, (0, 1), replicas=True)
    board = Noticeboard(team, "model")
    if rank:
        for step in range(KEPT + 2):
            board.publish(step, b"notice")
    dist.barrier()
    there = [board.complete(step) for step in range(KEPT + 2)] if rank == 0 else []
    began = time.perf_counter()
    if rank == 0:
        with pytest.raises(RuntimeError):
            board.read(0)
    waited = time.perf_counter() - began
    dist.barrier()
    return waited, there
