"""Adam and what it remembers of gradients: too much, too little, or divided by nothing."""

import torch
from torch import Tensor, nn

from sweeps.situations.common import classify, cross_entropy, loss_on_test, regress
from sweeps.situations.data import digits, images, teacher
from sweeps.situations.networks import Cnn, Gpt, mlp
from sweeps.situations.recipes import speak
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Eyes, Training

TWO = (Level.BLATANT, Level.MODERATE)


@register.fault(
    "adam-eps-large",
    source="own",
    codes={"TV303"},
    onset=(0, 199),
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
    "stale-second-moment",
    source="F66",
    codes={"TV303"},
    onset=(30, 60),
    remedies=("optimizer.betas=[0.9,0.95]", "trainer.gradient_clip_val=1.0"),
    levels=TWO,
)
def stale_second_moment(level: Level | None, seed: int) -> Training:
    """One batch has a loss 10,000 times too large, which a second moment with a memory of 1,000 (moderate:
    10,000) steps cannot forget: all later steps are tiny.
    """
    torch.manual_seed(seed)
    decay = {None: 0.9, Level.BLATANT: 0.999, Level.MODERATE: 0.9999}[level]
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
    "adam-eps-tiny",
    source="F65; TDC low_eps",
    codes={"TV302", "TV401"},
    onset=(100, 799),
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
    "adam-eps-zero",
    source="F65",
    codes={"TV203"},
    where=("hidden.0*",),
    remedies=("optimizer.eps=1e-8",),
    certain="0 divided by 0 is not a number",
)
def adam_eps_zero(level: Level | None, seed: int) -> Training:
    """Adam without eps: where a gradient is exactly 0, as at pixels that are never drawn, the step is 0/0."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, eps=0.0 if level else 1e-8)
    return classify(model, digits(), seed, optimizer=optimizer)


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

    def iterate(training: Training, step: int, _eyes: Eyes) -> Tensor:
        optimizer = made if level is None else torch.optim.Adam(model.parameters(), lr=1e-2)
        loss = training.loss(training.model, training.batch(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return regress(model, teacher(), seed, optimizer=made, size=16, iterate=iterate)
