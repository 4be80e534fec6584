"""Settings of the optimizer other than its lr, and what is done to gradients on their way to it."""

import torch
from torch import Tensor, nn

from sweeps.situations.common import classify
from sweeps.situations.data import digits, images
from sweeps.situations.networks import Cnn, Gpt, mlp
from sweeps.situations.recipes import speak
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Eyes, Training, clipped

TWO = (Level.BLATANT, Level.MODERATE)


@register.fault(
    "momentum-too-high",
    source="F67",
    codes={"TV302", "TV402", "TV407"},
    onset=(1, 60),
    remedies=("optimizer.lr / 10", "optimizer.momentum=0.9"),
    levels=TWO,
)
def momentum_too_high(level: Level | None, seed: int) -> Training:
    """Momentum of 0.99 (blatant: 0.997) at an lr tuned for 0.9: steps add up to ten times as much."""
    torch.manual_seed(seed)
    model = Cnn()
    momentum = {None: 0.9, Level.BLATANT: 0.997, Level.MODERATE: 0.99}[level]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=momentum)
    return classify(model, images(), seed, optimizer=optimizer)


@register.fault(
    "weight-decay-sgd",
    source="F68; SO 51028324",
    codes={"TV307"},
    onset=(0, 100),
    remedies=("optimizer.weight_decay=1e-4",),
    levels=tuple(Level),
)
def weight_decay_sgd(level: Level | None, seed: int) -> Training:
    """Weight decay of 0.1 to 1 under SGD: the weights shrink to nothing, faster than data can build them."""
    torch.manual_seed(seed)
    decay = {None: 1e-4, Level.BLATANT: 1.0, Level.MODERATE: 0.3, Level.SUBTLE: 0.1}[level]
    model = mlp((64, 64, 64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=decay)
    return classify(model, digits(), seed, optimizer=optimizer)


@register.fault(
    "weight-decay-adam",
    source="F68; TDC over_reg",
    codes={"TV307"},
    onset=(0, 100),
    remedies=("optimizer.weight_decay=1e-4",),
    levels=TWO,
)
def weight_decay_adam(level: Level | None, seed: int) -> Training:
    """L2 of 0.3 to 1 in Adam, where it is part of the gradient and drowns that of the data."""
    torch.manual_seed(seed)
    decay = {None: 1e-5, Level.BLATANT: 1.0, Level.MODERATE: 0.3}[level]
    model = Cnn()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=decay)
    return classify(model, images(), seed, optimizer=optimizer)


@register.fault(
    "weight-decay-on-norms",
    source="F128",
    codes={"TV307"},
    where=("*norm*",),
    onset=(0, 199),
    remedies=("no weight decay for norms and biases",),
    levels=TWO,
)
def weight_decay_on_norms(level: Level | None, seed: int) -> Training:
    """Weight decay hits the gains and biases of all LayerNorms alone, and takes the signal away."""
    torch.manual_seed(seed)
    decay = {None: 0.0, Level.BLATANT: 30.0, Level.MODERATE: 10.0}[level]
    model = Gpt()
    norms = [p for name, p in model.named_parameters() if "norm" in name]
    others = [p for name, p in model.named_parameters() if "norm" not in name]
    groups = [{"params": norms, "weight_decay": decay}, {"params": others, "weight_decay": 0.01}]
    return speak(model, seed, optimizer=torch.optim.AdamW(groups, lr=3e-3))


@register.fault(
    "clip-too-tight",
    source="own",
    codes={"TV207", "TV303"},
    onset=(0, 100),
    remedies=("trainer.gradient_clip_val=1.0",),
    levels=TWO,
)
def clip_too_tight(level: Level | None, seed: int) -> Training:
    """The gradient norm is clipped to 1e-4 (moderate: 1e-3) under SGD, so that no step gets anywhere."""
    torch.manual_seed(seed)
    limit = {None: 5.0, Level.BLATANT: 1e-4, Level.MODERATE: 1e-3}[level]
    return classify(mlp((64, 64, 64, 10)), digits(), seed, iterate=clipped(limit))


@register.fault(
    "clip-value-too-tight",
    source="own",
    codes={"TV207", "TV303"},
    onset=(0, 100),
    remedies=("trainer.gradient_clip_val=1.0",),
    levels=TWO,
)
def clip_value_too_tight(level: Level | None, seed: int) -> Training:
    """Every entry of the gradient of a CNN is clipped to 1e-6 (moderate: 1e-5)."""
    torch.manual_seed(seed)
    limit = {None: 1.0, Level.BLATANT: 1e-6, Level.MODERATE: 1e-5}[level]

    def iterate(training: Training, step: int, _eyes: Eyes) -> Tensor:
        loss = training.loss(training.model, training.batch(step))
        training.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_value_(training.model.parameters(), limit)
        training.optimizer.step()
        return loss

    return classify(Cnn(), images(), seed, iterate=iterate)


@register.fault(
    "batch-of-one",
    source="F81; SO 59648509",
    codes={"TV302", "TV402", "TV407"},
    onset=(0, 60),
    remedies=("data.batch_size=64", "optimizer.lr / 10"),
    levels=TWO,
)
def batch_of_one(level: Level | None, seed: int) -> Training:
    """Batches of a single row (moderate: of two) at the lr that suits 64: every step follows its noise."""
    torch.manual_seed(seed)
    size = {None: 64, Level.BLATANT: 1, Level.MODERATE: 2}[level]
    return classify(Cnn(), images(), seed, lr=0.1, size=size)
