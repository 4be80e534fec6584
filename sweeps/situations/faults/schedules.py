"""Schedules of the learning rate that go wrong."""

import math

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, LambdaLR

from sweeps.situations.common import classify
from sweeps.situations.data import digits, images
from sweeps.situations.networks import Cnn, Gpt, mlp
from sweeps.situations.recipes import speak
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training

TOO_LARGE = {"TV302", "TV401", "TV402"}  # the updates, and the jump or the rise of the loss that they make


@register.fault(
    "cosine-rises-again",
    source="F62",
    codes=TOO_LARGE,
    onset=(101, 199),
    remedies=("T_max = steps",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def cosine_rises_again(level: Level | None, seed: int) -> Training:
    """`CosineAnnealingLR` whose T_max is about half of the training: the high lr comes back and ends it."""
    torch.manual_seed(seed)
    model = Cnn()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.35, momentum=0.9)
    half = {None: 200, Level.BLATANT: 100, Level.MODERATE: 120}[level]
    scheduler = CosineAnnealingLR(optimizer, T_max=half)
    return classify(model, images(), seed, optimizer=optimizer, scheduler=scheduler)


@register.fault(
    "restart-too-high",
    source="F62",
    codes=TOO_LARGE,
    onset=(100, 130),
    remedies=("no restart",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def restart_too_high(level: Level | None, seed: int) -> Training:
    """A cosine that restarts by accident at many times the lr that it began with."""
    torch.manual_seed(seed)
    model = Gpt()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    peak = {None: 1.0, Level.BLATANT: 100.0, Level.MODERATE: 30.0}[level]

    def factor(step: int) -> float:
        share = step % 100 / 100
        return (peak if step >= 100 else 1.0) * (1 + math.cos(math.pi * share)) / 2

    return speak(model, seed, optimizer=optimizer, scheduler=LambdaLR(optimizer, factor))


@register.fault(
    "lr-grows",
    source="own",
    codes=TOO_LARGE,
    onset=(20, 199),
    remedies=("scheduler=cosine",),
    levels=tuple(Level),
)
def lr_grows(level: Level | None, seed: int) -> Training:
    """`ExponentialLR` with a factor above 1 that was meant to be below."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    gamma = {None: 0.99, Level.BLATANT: 1.1, Level.MODERATE: 1.05, Level.SUBTLE: 1.03}[level]
    scheduler = ExponentialLR(optimizer, gamma)
    return classify(model, digits(), seed, optimizer=optimizer, scheduler=scheduler)


@register.fault(
    "decay-per-iteration",
    source="own",
    codes={"TV303", "TV306"},
    onset=(1, 60),
    remedies=("scheduler.step() once per epoch",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def decay_per_iteration(level: Level | None, seed: int) -> Training:
    """A decay meant for each epoch is stepped at each iteration: the lr is gone before anything is learnt."""
    torch.manual_seed(seed)
    model = Cnn()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    gamma = {None: 0.995, Level.BLATANT: 0.5, Level.MODERATE: 0.9}[level]
    scheduler = ExponentialLR(optimizer, gamma)
    return classify(model, images(), seed, optimizer=optimizer, scheduler=scheduler)


@register.fault(
    "warm-up-never-ends",
    source="own",
    codes={"TV303"},
    onset=(0, 199),
    remedies=("scheduler=warmup_cosine",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def warm_up_never_ends(level: Level | None, seed: int) -> Training:
    """A warm-up over steps of a far longer training: the lr has hardly left 0 when this one is over."""
    torch.manual_seed(seed)
    model = Gpt()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    steps = {None: 20, Level.BLATANT: 1_000_000, Level.MODERATE: 30_000}[level]
    scheduler = LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / steps))
    return speak(model, seed, optimizer=optimizer, scheduler=scheduler)


@register.fault(
    "no-warm-up-post-norm",
    source="F63",
    codes={"TV302", "TV402"},
    onset=(0, 60),
    remedies=("scheduler=warmup_cosine", "normalise before the branches"),
)
def no_warm_up_post_norm(level: Level | None, seed: int) -> Training:
    """A deep transformer that normalises after its sums, trained at full lr from the first step."""
    torch.manual_seed(seed)
    model = Gpt(depth=8, width=16, heads=2, pre=False)
    optimizer = torch.optim.Adam(model.parameters(), lr=6e-3)
    warm = 1 if level else 60
    scheduler = LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / warm) * (1 - step / 200))
    return speak(model, seed, optimizer=optimizer, size=8, scheduler=scheduler)
