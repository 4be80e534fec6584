"""Loops whose steps are missing, doubled or in the wrong order."""

import torch
from torch import Tensor

from sweeps.situations.common import classify, regress
from sweeps.situations.data import digits, images, teacher
from sweeps.situations.networks import Cnn, Gpt, mlp
from sweeps.situations.recipes import speak
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Eyes, Training, plain

NOTHING_MOVES = "parameters that are never stepped stay as they were drawn"


def never_zeroed(training: Training, step: int, _eyes: Eyes) -> Tensor:
    """Forgets `zero_grad`."""
    loss = training.loss(training.model, training.batch(step))
    loss.backward()
    training.optimizer.step()
    return loss


def seldom_zeroed(training: Training, step: int, eyes: Eyes) -> Tensor:
    """Calls `zero_grad` once per epoch of 25 iterations, outside the inner loop."""
    if step % 25 == 0:
        training.optimizer.zero_grad()
    return never_zeroed(training, step, eyes)


def zeroed_late(training: Training, step: int, _eyes: Eyes) -> Tensor:
    """Throws the gradients away between `backward` and `step`."""
    loss = training.loss(training.model, training.batch(step))
    loss.backward()
    training.optimizer.zero_grad()
    training.optimizer.step()
    return loss


def never_stepped(training: Training, step: int, _eyes: Eyes) -> Tensor:
    """Forgets `step`."""
    loss = training.loss(training.model, training.batch(step))
    training.optimizer.zero_grad()
    loss.backward()
    return loss


def stepped_early(training: Training, step: int, _eyes: Eyes) -> Tensor:
    """Calls `step` before `backward`, so that it finds what `zero_grad` left: nothing."""
    loss = training.loss(training.model, training.batch(step))
    training.optimizer.zero_grad()
    training.optimizer.step()
    loss.backward()
    return loss


@register.fault(
    "no-zero-grad-mlp",
    source="F71; SO 60335387",
    codes={"TV206"},
    onset=(1, 10),
    remedies=("optimizer.zero_grad()",),
)
def no_zero_grad_mlp(level: Level | None, seed: int) -> Training:
    """`zero_grad` is missing in the loop of a regression: gradients of all batches pile up."""
    torch.manual_seed(seed)
    model = mlp((16, 64, 64, 1))
    return regress(model, teacher(), seed, iterate=never_zeroed if level else plain)


@register.fault(
    "no-zero-grad-gpt",
    source="F71",
    codes={"TV206"},
    onset=(1, 10),
    remedies=("optimizer.zero_grad()",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def no_zero_grad_gpt(level: Level | None, seed: int) -> Training:
    """`zero_grad` is missing (moderate: called once an epoch) under Adam, which hides how gradients grow."""
    torch.manual_seed(seed)
    loop = {None: plain, Level.BLATANT: never_zeroed, Level.MODERATE: seldom_zeroed}[level]
    return speak(Gpt(), seed, lr=3e-3, iterate=loop)


@register.fault(
    "no-zero-grad-cnn",
    source="F71",
    codes={"TV206"},
    onset=(1, 10),
    remedies=("optimizer.zero_grad()",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def no_zero_grad_cnn(level: Level | None, seed: int) -> Training:
    """`zero_grad` is missing (moderate: called once an epoch) in the training of a CNN."""
    torch.manual_seed(seed)
    loop = {None: plain, Level.BLATANT: never_zeroed, Level.MODERATE: seldom_zeroed}[level]
    return classify(Cnn(), images(), seed, iterate=loop)


@register.fault(
    "zero-grad-before-step",
    source="own",
    codes={"TV306"},
    remedies=("zero_grad before backward",),
    certain=NOTHING_MOVES,
)
def zero_grad_before_step(level: Level | None, seed: int) -> Training:
    """`zero_grad` stands between `backward` and `step`, which finds no gradient."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 10))
    return classify(model, digits(), seed, iterate=zeroed_late if level else plain)


@register.fault(
    "step-never-called", source="own", codes={"TV306"}, remedies=("optimizer.step()",), certain=NOTHING_MOVES
)
def step_never_called(level: Level | None, seed: int) -> Training:
    """`optimizer.step()` is missing."""
    torch.manual_seed(seed)
    return speak(Gpt(), seed, iterate=never_stepped if level else plain)


@register.fault(
    "step-before-backward",
    source="F74",
    codes={"TV306"},
    remedies=("step after backward",),
    certain=NOTHING_MOVES,
)
def step_before_backward(level: Level | None, seed: int) -> Training:
    """`zero_grad`, `step`, `backward`: every step finds no gradient, and every gradient is thrown away."""
    torch.manual_seed(seed)
    return classify(Cnn(), images(), seed, iterate=stepped_early if level else plain)


@register.fault(
    "second-optimizer-not-stepped",
    source="own",
    codes={"TV306", "TV206"},
    where=("hidden*",),
    remedies=("step both optimizers",),
)
def second_optimizer_not_stepped(level: Level | None, seed: int) -> Training:
    """Two optimizers, for the encoder and the head, of which only that of the head is ever stepped."""
    torch.manual_seed(seed)
    model = mlp((64, 16, 16, 10))
    hidden = torch.optim.SGD([p for n, p in model.named_parameters() if "hidden" in n], lr=0.05, momentum=0.9)
    head = torch.optim.SGD([p for n, p in model.named_parameters() if "head" in n], lr=0.05, momentum=0.9)

    def iterate(training: Training, step: int, _eyes: Eyes) -> Tensor:
        loss = training.loss(model, training.batch(step))
        for optimizer in (hidden, head) if level is None else (head,):
            optimizer.zero_grad()
        loss.backward()
        for optimizer in (hidden, head) if level is None else (head,):
            optimizer.step()
        return loss

    training = classify(model, digits(), seed, optimizer=head, iterate=iterate)
    training.optimizers = (head, hidden)
    return training


@register.fault(
    "accumulation-not-averaged",
    source="own",
    codes={"TV302", "TV402"},
    onset=(0, 40),
    remedies=("divide each loss by the number of micro-batches",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def accumulation_not_averaged(level: Level | None, seed: int) -> Training:
    """Gradients of 32 (moderate: 16) micro-batches are summed where they should be averaged."""
    torch.manual_seed(seed)
    parts = {None: 32, Level.BLATANT: 32, Level.MODERATE: 16}[level]

    def iterate(training: Training, step: int, _eyes: Eyes) -> Tensor:
        x, y = training.batch(step)
        training.optimizer.zero_grad()
        total = torch.zeros(())
        for small in zip(x.chunk(parts), y.chunk(parts), strict=True):
            loss = training.loss(training.model, small)
            (loss / parts if level is None else loss).backward()
            total += loss.detach() / parts
        training.optimizer.step()
        return total

    return classify(mlp((64, 64, 64, 10)), digits(), seed, lr=0.1, iterate=iterate, steps=100)


@register.fault(
    "stopped-early", source="F80; d4ml-011", codes={"TV303"}, onset=(0, 11), remedies=("train longer",)
)
def stopped_early(level: Level | None, seed: int) -> Training:
    """The training ends after 12 iterations, while its loss still falls steeply."""
    torch.manual_seed(seed)
    return speak(Gpt(), seed, lr=1e-3, steps=300 if level is None else 12)
