"""Without this file every network would need a training loop of its own."""

from collections.abc import Callable
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import MetricCollection

from models.errors import invalid
from models.schedules import Scheduler
from models.tasks import Task

Batch = tuple[Tensor, Tensor]
_LISTS = (nn.ModuleList, nn.ModuleDict)
"""Modules that are never called, so that nobody would gather their parameters."""


class TrainingModule(pl.LightningModule):
    """Trains any network on (inputs, targets) batches and logs once per epoch.

    Keys: `train/loss`, `val/loss`, `test/loss`, `val/<metric>` and `test/<metric>` with the metrics of the
    task. Nothing is filtered: a loss of nan is logged as nan, and the run goes on. Targets are checked
    against the outputs on the first batch of each epoch, which raises ValueError when they do not fit the
    task.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        task: Task,
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[..., Scheduler] | None = None,
    ) -> None:
        """`optimizer` is called with the parameters; `scheduler` with the optimizer and `total_steps`."""
        super().__init__()
        self.network = network
        self.task = task
        self.make_optimizer = optimizer
        self.make_scheduler = scheduler
        self.val_metrics = MetricCollection(dict(task.metrics()), prefix="val/")
        self.test_metrics = MetricCollection(dict(task.metrics()), prefix="test/")
        self._train_losses: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    def configure_model(self) -> None:
        """Shard layer by layer where the trainer's strategy has a mesh of processes for it."""
        mesh = self.device_mesh
        if mesh is None:
            return
        from torch.distributed.fsdp import FSDPModule, fully_shard  # takes a while, and most need it not

        if isinstance(self.network, FSDPModule):
            return
        mesh = mesh["data_parallel"]
        for child in self.network.children():
            if not isinstance(child, _LISTS) and next(child.parameters(), None) is not None:
                fully_shard(child, mesh=mesh)
        fully_shard(self.network, mesh=mesh)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = self._loss(batch, batch_idx=batch_idx)[0]
        # `self.log` in every step costs more than a step of a small network.
        self._train_losses.append(loss.detach())
        return loss

    def on_train_epoch_start(self) -> None:
        self._train_losses.clear()

    def on_train_epoch_end(self) -> None:
        if self._train_losses:
            self.log("train/loss", torch.stack(self._train_losses).mean(), sync_dist=True)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch, batch_idx=batch_idx, stage="val", metrics=self.val_metrics)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch, batch_idx=batch_idx, stage="test", metrics=self.test_metrics)

    def _loss(self, batch: Batch, *, batch_idx: int) -> tuple[Tensor, Tensor]:
        x, targets = batch
        outputs = self.network(x)
        if batch_idx == 0:
            self.task.check(outputs, targets)
        return self.task.loss(outputs, targets), outputs

    def _evaluate(
        self, batch: Batch, *, batch_idx: int, stage: Literal["val", "test"], metrics: MetricCollection
    ) -> None:
        loss, outputs = self._loss(batch, batch_idx=batch_idx)
        metrics.update(*self.task.judged(outputs, batch[1]))
        self.log(f"{stage}/loss", loss, batch_size=len(batch[0]), sync_dist=True)
        self.log_dict(metrics, on_step=False, on_epoch=True, batch_size=len(batch[0]))

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer(self.parameters())
        if self.make_scheduler is None:
            return optimizer
        scheduler = self.make_scheduler(optimizer, total_steps=self._total_steps())
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _total_steps(self) -> int:
        steps = self.trainer.estimated_stepping_batches
        if steps == float("inf"):
            raise invalid(
                "max_epochs", value=self.trainer.max_epochs, choices="a number: a schedule needs an end"
            )
        return int(steps)
