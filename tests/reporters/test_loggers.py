"""Without this file Lightning's loggers could choke on our keys, which are not the same at every step."""

import csv
import math
from pathlib import Path

import pytest

from tests.support.runs import glance, ill, look, table
from torchvitals.core.snapshot import Snapshot
from torchvitals.reporters.loggers import LoggersReporter

pytest.importorskip("pytorch_lightning")


def spoken(*loggers) -> None:
    reporter = LoggersReporter(loggers)
    signal = {"activation": table("activation", {"last": 6.0})}
    for snapshot in (look(0), glance(1), glance(10, math.nan), Snapshot(11, {}, {}, signal), look(12)):
        reporter.on_snapshot(snapshot)
    reporter.on_close(ill())
    for logger in loggers:
        logger.save()


@pytest.mark.parametrize("flush", [1, 100])
def test_csv_file_keeps_every_row_although_keys_change(tmp_path: Path, flush: int) -> None:
    from pytorch_lightning.loggers import CSVLogger

    logger = CSVLogger(tmp_path, flush_logs_every_n_steps=flush)
    spoken(logger)
    with (Path(logger.log_dir) / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "10", "11", "12"]
    assert [row["vitals/loss"] for row in rows] == ["1.0", "nan", "", "1.0"]
    assert [row["vitals/signal_rms_last"] for row in rows] == ["", "", "3.0", ""]


def test_tensorboard_gets_one_curve_a_key(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from pytorch_lightning.loggers import TensorBoardLogger
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TensorBoardLogger(tmp_path)
    spoken(logger)
    logger.finalize("success")
    events = EventAccumulator(logger.log_dir).Reload()
    assert [event.step for event in events.Scalars("vitals/loss")] == [0, 10, 12]
    assert [event.value for event in events.Scalars("vitals/signal_rms_last")] == [3.0]
