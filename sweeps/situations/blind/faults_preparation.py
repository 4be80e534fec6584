"""Preparations of data that went wrong: a mistyped number, constants of another set, labels in two orders."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from sweeps.situations.common import classify, regress
from sweeps.situations.data import Data, images, raw_digits, split, teacher
from sweeps.situations.networks import Cnn, mlp
from sweeps.situations.recipes import validation
from sweeps.situations.residual import ResNet
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training

LEVELS = (Level.BLATANT, Level.MODERATE)


@register.fault(
    "mistyped-target",
    source="own",
    codes={"TV401", "TV502"},
    onset=(0, 80),
    remedies=("clean the targets", "smooth_l1_loss"),
    levels=LEVELS,
)
def mistyped_target(level: Level | None, seed: int) -> Training:
    """Three of 1,434 targets have lost their decimal point and are 1,000 (moderate: 100) times too large."""
    torch.manual_seed(seed)
    clean = teacher()
    y = clean.y.clone()
    y[[70, 600, 1100]] = torch.tensor([[2.0], [-1.5], [1.7]])
    if level is not None:
        y[[70, 600, 1100]] *= 1000.0 if level is Level.BLATANT else 100.0
    model = mlp((16, 64, 64, 1))
    return regress(model, replace(clean, y=y), seed, lr=0.01, steps=300)


@register.fault(
    "constants-of-other-pixels",
    source="SO 55328966; own",
    codes={"TV502", "TV103", "TV501"},
    remedies=("divide both constants by 255",),
)
def constants_of_other_pixels(level: Level | None, seed: int) -> Training:
    """Pixels of 0 to 1 are standardised by the mean and the deviation, 116 and 58, of pixels of 0 to 255, so
    that all are near -2.
    """
    torch.manual_seed(seed)
    raw, model = raw_digits(), Cnn()
    mean, deviation = (0.31, 0.38) if level is None else (116.0, 58.0)
    x, x_test = (((part / 16).view(-1, 1, 8, 8) - mean) / deviation for part in (raw.x, raw.x_test))
    data = Data(x, raw.y, x_test, raw.y_test)
    return classify(model, data, seed, optimizer=torch.optim.RMSprop(model.parameters(), lr=2e-3))


@register.fault(
    "folders-sorted-as-text",
    source="F55; own",
    codes={"TV406"},
    onset=(0, 199),
    remedies=("one table of classes for both sets",),
)
def folders_sorted_as_text(level: Level | None, seed: int) -> Training:
    """Twelve classes are numbered by the text of their folders in training (0, 1, 10, 11, 2 ...) and by their
    numbers in validation.
    """
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(42)
    y = torch.arange(1800) % 12
    x = 1.5 * torch.randn(12, 20, generator=draw)[y] + torch.randn(1800, 20, generator=draw)
    data = split(x, y)
    if level is not None:
        order = torch.tensor([int(name) for name in sorted(str(i) for i in range(12))])
        data = replace(data, y=order.argsort()[data.y])
    model = mlp((20, 64, 12), norm=nn.BatchNorm1d)
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return classify(model, data, seed, optimizer=adam, validate=validation(data))


@register.fault(
    "gamma-behind-standardisation",
    source="own",
    codes={"TV203", "TV501"},
    onset=(0, 40),
    remedies=("change the gamma before standardising",),
    levels=LEVELS,
)
def gamma_behind_standardisation(level: Level | None, seed: int) -> Training:
    """A random gamma, a broken power, is applied to standardised pixels, many of which are negative
    (moderate: to one image in 500).
    """
    torch.manual_seed(seed)
    data, model = images(), ResNet(8, 2)
    training = classify(model, data, seed, lr=0.02)
    plain_batch = training.batch
    share = {None: 0.0, Level.BLATANT: 1.0, Level.MODERATE: 0.002}[level]

    def batch(step: int) -> tuple[Tensor, Tensor]:
        x, y = plain_batch(step)
        draw = torch.Generator().manual_seed(step + 7919 * seed)
        chosen = torch.rand(len(x), 1, 1, 1, generator=draw) < share
        return torch.where(chosen, x ** (0.8 + 0.4 * torch.rand((), generator=draw)), x), y

    training.batch = batch
    return training
