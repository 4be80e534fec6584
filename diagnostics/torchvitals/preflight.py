"""Looks at a training before it begins: a few passes on a copy, and the user's objects stay as they are."""

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from torchvitals.adapters.loop import watch
from torchvitals.builtin.parts.chain import Chain
from torchvitals.causes import attribute
from torchvitals.core.errors import FieldError
from torchvitals.core.finding import Finding, Incident, Remedy, Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.summary import Summary, Verdict, verdict_of
from torchvitals.reporters.memory import MemoryReporter
from torchvitals.reporters.profile import Site, lines
from torchvitals.reporters.text import render
from torchvitals.schedule import Schedule

PASSES = 3
"""Steps that the copy makes on the one batch: updates are seen at the first, wiring needs a second."""
OVERFIT_SAMPLES = 16
OVERFIT_STEPS = 200
OVERFIT_FALL = 0.9
"""Part of its loss that a sound training loses on 16 samples within 200 steps."""
DECADES = 3.0
"""Powers of ten that a signal or gradient may lose before layers stop learning."""

LossFn = Callable[[Any, Any], Tensor]


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """What is known of a training before it begins. `print` it."""

    summary: Summary
    profile: tuple[Site, ...] = ()
    """all sites in execution order"""
    factors: Mapping[str, float] = field(default_factory=dict)
    """per layer of the plain part of the net: measured and expected factor of signal and gradient"""
    trainable_depth: float | None = None
    """layers of this kind over which the gradient's norm would change by three decades; None where the net
    has no plain part of three layers or more
    """
    without_gradient: tuple[str, ...] = ()
    """trainable parameters to which this batch brought no gradient, or one of exactly 0"""
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
        return "\n".join([render(self.summary), "", *lines(self.profile), "", *_told(self)])


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
    diagnostics judge them, as they judge the first steps of every watched training. With `overfit` another
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
    first = next((s for s in told.snapshots if "activation" in s and "parameter" in s), None)
    chain = Chain.of(first) if first is not None else Chain()
    return Preflight(
        summary=_judged(told.summary, learned),
        profile=tuple(_sites(first)) if first is not None else (),
        without_gradient=_starved(first) if first is not None else (),
        factors=_factors(chain),
        trainable_depth=_depth(chain),
        overfit=learned,
    )


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


def _sites(look: Snapshot) -> Iterator[Site]:
    table, back = look["activation"], look.tables.get("activation_gradient")
    norms = dict(zip(back.names, back.norm, strict=True)) if back is not None else {}
    for name, op, rms in zip(table.names, table["op"], table.rms, strict=True):
        gradient = norms.get(name)
        yield Site(name, str(op), float(rms), None if gradient is None else float(gradient))


def _starved(look: Snapshot) -> tuple[str, ...]:
    gradient = look.tables.get("gradient")
    reached = (
        {n for n, x in zip(gradient.names, gradient["sum_sq"], strict=True) if x > 0} if gradient else set()
    )
    parameter = look["parameter"]
    return tuple(
        n
        for n, wants in zip(parameter.names, parameter["trainable"], strict=True)
        if wants and n not in reached
    )


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


def _factors(chain: Chain) -> dict[str, float]:
    """Factors by layer, of the plain part of the net, as measured and as mean-field theory expects them."""
    steps = len(chain) - 1
    if steps < 2:
        return {}
    signal, gradient = chain.predicted()
    told = {"signal": chain.signal, "expected_signal": signal, "expected_gradient": gradient}
    told |= {"gradient": chain.gradient} if chain.gradient is not None else {}
    return {name: float(10 ** (decades / steps)) for name, decades in told.items()}


def _depth(chain: Chain) -> float | None:
    """Layers that change the gradient by three decades, at the rate of this net."""
    if len(chain) < 3 or chain.gradient is None:
        return None
    rate = abs(chain.gradient) / (len(chain) - 1)
    return DECADES / rate if rate > 1e-3 else float("inf")


def _told(found: Preflight) -> Iterator[str]:
    """What the profile means."""
    for name in ("signal", "gradient"):
        if name in found.factors:
            measured, expected = found.factors[name], found.factors[f"expected_{name}"]
            yield f"Per layer the {name} changes by {measured:.2f} (expected by theory: {expected:.2f})."
    if found.trainable_depth is not None:
        depth = (
            "does not change"
            if math.isinf(found.trainable_depth)
            else (f"changes by three decades in {found.trainable_depth:.0f} layers")
        )
        yield f"At that rate the gradient {depth}."
    if found.without_gradient:
        names = ", ".join(found.without_gradient[:4])
        yield f"{len(found.without_gradient)} trainable parameters got no gradient from this batch: {names}."
    if found.overfit is not None:
        before, after = found.overfit
        yield f"Learning up to {OVERFIT_SAMPLES} samples by heart: loss {before:.3g} to {after:.3g}."
