"""Settings of the optimizer other than its lr, and what is done to gradients on their way to it."""

import torch
from torch import Tensor, nn

from sweeps.situations.common import classify, cross_entropy, loss_on_test, regress
from sweeps.situations.data import digits, images, teacher
from sweeps.situations.networks import Cnn, Gpt, mlp
from sweeps.situations.recipes import speak
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training, clipped

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
    """Momentum of 0.99 (blatant: 0.997) at an lr that was tuned for 0.9: steps add up to ten times as much."""
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
    onset=(0, 200),
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

    def iterate(training: Training, step: int, eyes: object) -> Tensor:
        loss = training.loss(training.model, training.batch(step))
        training.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_value_(training.model.parameters(), limit)
        training.optimizer.step()
        return loss

    return classify(Cnn(), images(), seed, iterate=iterate)


@register.fault(
    "adam-eps-large",
    source="own",
    codes={"TV303"},
    onset=(0, 200),
    remedies=("optimizer.eps=1e-8",),
    levels=TWO,
)
def adam_eps_large(level: Level | None, seed: int) -> Training:
    """Adam's eps of 1 (blatant: 100) outweighs the root of every second moment and shrinks every step."""
    torch.manual_seed(seed)
    eps = {None: 1e-8, Level.BLATANT: 100.0, Level.MODERATE: 1.0}[level]
    model = Gpt()
    return speak(model, seed, optimizer=torch.optim.Adam(model.parameters(), lr=3e-3, eps=eps))


@register.fault(
    "stale-second-moment", source="F66", codes={"TV303"}, onset=(30, 60),
    remedies=("optimizer.betas=[0.9,0.95]", "trainer.gradient_clip_val=1.0"), levels=TWO,
)
def stale_second_moment(level: Level | None, seed: int) -> Training:
    """One batch has a loss 10,000 times too large, which a second moment with a memory of 10,000 (moderate:
    1,000) steps cannot forget: all later steps are tiny.
    """
    torch.manual_seed(seed)
    decay = {None: 0.9, Level.BLATANT: 0.9999, Level.MODERATE: 0.999}[level]
    model, data, step_of = Cnn(), images(), [0]
    batch = data.batches(64, seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, betas=(0.9, decay))

    def counted(step: int) -> tuple[Tensor, Tensor]:
        step_of[0] = step
        return batch(step)

    def loss(net: nn.Module, rows: tuple[Tensor, Tensor]) -> Tensor:
        return cross_entropy(net, rows) * (1e4 if step_of[0] == 30 else 1.0)

    training = classify(model, data, seed, optimizer=optimizer, loss=loss)
    training.batch = counted
    return training


@register.fault(
    "adam-eps-tiny", source="F65; TDC low_eps", codes={"TV302", "TV401"}, onset=(100, 800),
    remedies=("optimizer.eps=1e-8",),
)
def adam_eps_tiny(level: Level | None, seed: int) -> Training:
    """Adam with eps 1e-16 on a set that it has learnt by heart: gradients of almost nothing still make full
    steps, and the loss jumps up again and again.
    """
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 10))
    eps = 1e-16 if level else 1e-6
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, betas=(0.9, 0.95), eps=eps)
    score = loss_on_test(digits())
    return classify(model, digits(), seed, optimizer=optimizer, size=256, steps=800, score=score)


@register.fault(
    "adam-eps-zero", source="F65", codes={"TV203"}, where=("hidden.0*",), remedies=("optimizer.eps=1e-8",),
    certain="0 divided by 0 is not a number",
)
def adam_eps_zero(level: Level | None, seed: int) -> Training:
    """Adam without eps: where a gradient is exactly 0, as at pixels that are never drawn, the step is 0/0."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, eps=0.0 if level else 1e-8)
    return classify(model, digits(), seed, optimizer=optimizer)


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


@register.fault(
    "optimizer-made-anew",
    source="own",
    codes={"TV302", "TV407"},
    onset=(1, 60),
    remedies=("make the optimizer once, before the loop",),
)
def optimizer_made_anew(level: Level | None, seed: int) -> Training:
    """Adam is made anew at each step: without memory each of its steps is of full size in every entry."""
    torch.manual_seed(seed)
    model = mlp((16, 64, 64, 1))
    made = torch.optim.Adam(model.parameters(), lr=1e-2)

    def iterate(training: Training, step: int, eyes: object) -> Tensor:
        optimizer = made if level is None else torch.optim.Adam(model.parameters(), lr=1e-2)
        loss = training.loss(training.model, training.batch(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return regress(model, teacher(), seed, optimizer=made, size=16, iterate=iterate)
