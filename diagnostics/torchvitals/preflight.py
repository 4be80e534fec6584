"""Looks at a training before it begins: a few passes on a copy, and the user's objects stay as they are."""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from torchvitals.adapters.loop import watch
from torchvitals.causes import attribute
from torchvitals.core.errors import FieldError
from torchvitals.core.finding import Finding, Incident, Remedy, Severity
from torchvitals.core.start import Start
from torchvitals.core.summary import Summary, Verdict, verdict_of
from torchvitals.reporters.memory import MemoryReporter
from torchvitals.reporters.profile import starved, table
from torchvitals.reporters.text import render
from torchvitals.schedule import Schedule

PASSES = 3
"""Steps that the copy makes on the one batch: updates are seen at the first, wiring needs a second."""
OVERFIT_SAMPLES = 16
OVERFIT_STEPS = 200
OVERFIT_FALL = 0.9
"""Part of its loss that a sound training loses on 16 samples within 200 steps."""

LossFn = Callable[[Any, Any], Tensor]


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """What is known of a training before it begins. `print` it."""

    summary: Summary
    start: Start = field(default_factory=Start)
    """the network at its first step: every site, and how far signal and gradient carry"""
    overfit: tuple[float, float] | None = None
    """loss on the first samples before and after trying to learn them by heart; None if not asked for"""

    @property
    def verdict(self) -> Verdict:
        """As of a run: "healthy", "suspect", "ill" or "no data"."""
        return self.summary.verdict

    @property
    def incidents(self) -> list[Incident]:
        """Worst first, each root followed by what it explains."""
        return list(self.summary.incidents)

    def __str__(self) -> str:
        return "\n".join([render(self.summary), "", *table(self.start.profile), "", *_told(self)])


def preflight(
    model: nn.Module,
    batch: Any,
    loss_fn: LossFn | None = None,
    optimizer: Optimizer | None = None,
    *,
    overfit: bool = False,
) -> Preflight:
    """Check a training on one batch before it begins.

    `batch` is `(inputs, targets)`, for which the loss is `loss_fn(model(inputs), targets)`; or a mapping, for
    which it is `loss_fn(model(**batch), batch)`, or `model(**batch).loss` without a `loss_fn`. The passes run
    on deep copies of model and optimizer, with the random state put back after them. All installed
    diagnostics judge them, as they judge the first steps of every watched training, whose report tells its
    `start` too. With `overfit` another
    copy tries to learn up to 16 samples by heart: what cannot do that cannot learn at all.

    Raises `FieldError` for a batch that is neither, and whatever the model or loss raises on it.
    """
    forward = _forward(batch, loss_fn)
    with torch.random.fork_rng(devices=_devices(model)):
        # Together, so that the copied optimizer holds the copied parameters.
        twin, its_optimizer = copy.deepcopy((model, optimizer))
        told = MemoryReporter()
        with watch(
            twin.train(), its_optimizer, reporters=[told], schedule=Schedule(dense=PASSES), strict=False
        ) as vitals:
            for _ in range(PASSES):
                loss = forward(twin, batch)
                twin.zero_grad()
                loss.backward()
                if its_optimizer is not None:
                    its_optimizer.step()
                vitals.step(loss)
        learned = _by_heart(*copy.deepcopy((model, optimizer)), batch, forward) if overfit else None
    summary = _judged(told.summary, learned)
    return Preflight(summary=summary, start=summary.start or Start(), overfit=learned)


def _forward(batch: Any, loss_fn: LossFn | None) -> Callable[[nn.Module, Any], Tensor]:
    if isinstance(batch, Mapping):
        return _mapped if loss_fn is None else lambda model, given: loss_fn(model(**given), given)
    if isinstance(batch, (tuple, list)) and len(batch) == 2 and loss_fn is not None:
        return lambda model, given: loss_fn(model(given[0]), given[1])
    raise FieldError("batch", type(batch).__name__, "(inputs, targets) with a loss_fn, or a mapping")


def _mapped(model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
    out = model(**batch)
    loss = out.get("loss") if isinstance(out, Mapping) else getattr(out, "loss", None)
    if not isinstance(loss, Tensor):
        raise FieldError("loss_fn", None, "a function, since the model's output has no loss")
    return loss


def _devices(model: nn.Module) -> list[torch.device]:
    return list({p.device for p in model.parameters() if p.device.type == "cuda"})


def _by_heart(
    model: nn.Module, optimizer: Optimizer | None, batch: Any, forward: Callable[[nn.Module, Any], Tensor]
) -> tuple[float, float]:
    """Loss on the first samples before and after, with dropout off where the model has any."""
    few = _first(batch)
    made = optimizer or torch.optim.Adam(model.parameters(), lr=1e-3)
    for module in model.train().modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.eval()
    losses = []
    for _ in range(OVERFIT_STEPS):
        loss = forward(model, few)
        model.zero_grad()
        loss.backward()
        made.step()
        losses.append(float(loss.detach()))
    return losses[0], min(losses)


def _first(batch: Any) -> Any:
    if isinstance(batch, Tensor):
        return batch[:OVERFIT_SAMPLES]
    if isinstance(batch, Mapping):
        return {name: _first(value) for name, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        return type(batch)(_first(value) for value in batch)
    return batch


def _judged(summary: Summary, learned: tuple[float, float] | None) -> Summary:
    """The summary, with an incident if a few samples could not be learned by heart."""
    if learned is None or learned[1] <= (1 - OVERFIT_FALL) * learned[0]:
        return summary
    finding = Finding(
        code="TV403",
        name="not-learning",
        severity=Severity.WARNING,
        where=("model",),
        since=0,
        message=f"{OVERFIT_SAMPLES} samples cannot be learned by heart: {OVERFIT_STEPS} steps took the loss "
        f"from {learned[0]:.3g} to {learned[1]:.3g}.",
        cause="the model, the loss or the learning rate does not fit the task",
        evidence={"loss_before": learned[0], "loss_after": learned[1]},
        remedies=(Remedy("Find out on these few samples first: learning rate, loss function, targets."),),
    )
    incidents = attribute([*summary.incidents, Incident.opened(finding, 0)])
    return replace(summary, incidents=incidents, verdict=verdict_of(incidents, looks=1))


def _told(found: Preflight) -> Iterator[str]:
    """What the passes showed beside incidents."""
    if found.start.without_gradient:
        yield starved(found.start)
    if found.overfit is not None:
        before, after = found.overfit
        yield f"Learning up to {OVERFIT_SAMPLES} samples by heart: loss {before:.3g} to {after:.3g}."
