"""Small Lightning trainings, run without and with a watch; without it every test would spell them out."""

from collections.abc import Callable, Iterable
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from torchvitals import Schedule
from torchvitals.adapters.lightning import VitalsCallback
from torchvitals.reporters import MemoryReporter

EVERY_STEP = Schedule(dense=0, every=1)
QUIET = dict.fromkeys(
    ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
)


def data(count: int = 8, *, rows: int = 16, dtype: torch.dtype = torch.float32) -> Any:
    """A loader of batches that can be learned: the class is the largest of four numbers."""
    draw = torch.Generator().manual_seed(1)
    made = [torch.randn(rows, 8, generator=draw) for _ in range(count)]
    batches = [(x.to(dtype), x[:, :4].argmax(1)) for x in made]
    return torch.utils.data.DataLoader(batches, batch_size=None)  # pyright: ignore[reportArgumentType]


class Module(pl.LightningModule):
    """A classifier that notes the norm of the gradients that its optimizer is about to consume."""

    def __init__(self, optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] | None = None) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 4))
        self.make = optimizer or (lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9))
        self.norms: list[float] = []

    def loss(self, batch: Any) -> Tensor:
        return F.cross_entropy(self.net(batch[0]), batch[1])

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.loss(batch)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        self.norms.append(norm_of(optimizer))

    def configure_optimizers(self) -> Any:
        return self.make(self.parameters())


def norm_of(optimizer: Optimizer) -> float:
    """Norm of all gradients that the optimizer holds, in float64."""
    held = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    return sum(float(p.grad.double().square().sum()) for p in held if p.grad is not None) ** 0.5


def trainer_of(*callbacks: Any, **options: Any) -> pl.Trainer:
    return pl.Trainer(
        **{"max_epochs": 1, "accelerator": "cpu", **QUIET, **options}, callbacks=list(callbacks)
    )


class Watched:
    """One training done twice, without and with a watch at every step; `options` may be called to be new."""

    def __init__(self, make: Callable[[], pl.LightningModule], loader: Any, **options: Any) -> None:
        self.keep = MemoryReporter()
        self.callback = VitalsCallback(reporters=[self.keep], schedule=EVERY_STEP, strict=True)
        self.bare, rng = self._fit(make, loader, [], options)
        self.module, watched_rng = self._fit(make, loader, [self.callback], options)
        assert torch.equal(rng, watched_rng)
        theirs, ours = self.bare.state_dict(), self.module.state_dict()
        assert theirs.keys() == ours.keys()
        for name, value in theirs.items():
            assert torch.equal(value.nan_to_num(7.0), ours[name].nan_to_num(7.0)), name

    def _fit(self, make: Any, loader: Any, callbacks: list[Any], options: Any) -> tuple[Any, Tensor]:
        torch.manual_seed(0)
        module = make()
        given = {name: value() if callable(value) else value for name, value in options.items()}
        self.trainer = trainer_of(*callbacks, *given.pop("callbacks", ()), **given)
        self.trainer.fit(module, loader)
        return module, torch.get_rng_state()

    @property
    def norms(self) -> list[float]:
        """Of the gradients in each snapshot."""
        return [s.scalars.get("gradient_norm", 0.0) for s in self.keep.snapshots]

    @property
    def summary(self) -> Any:
        return self.callback.summary
