"""Trainings that go well and whose validation alone tells that something is wrong."""

from dataclasses import replace

import torch

from sweeps.situations.common import classify, loss_on_test, regress
from sweeps.situations.data import digits, images, split, teacher
from sweeps.situations.networks import Cnn, mlp
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training


@register.fault(
    "validation-left-raw",
    source="F54; SO 59325381",
    codes={"TV406", "TV502"},
    remedies=("the same preparation for both sets",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def validation_not_standardised(level: Level | None, seed: int) -> Training:
    """The training set is standardised and the validation set is left as it was: 0 to 255 (moderate: 0 to
    16).
    """
    torch.manual_seed(seed)
    data = images()
    if level is not None:
        factor = 96.0 if level is Level.BLATANT else 6.0
        data = replace(data, x_test=(data.x_test + 0.8) * factor)
    told = loss_on_test(data)
    return classify(Cnn(), data, seed, lr=0.05, validate=told, score=told)


@register.fault(
    "validation-of-other-channels",
    source="F54; own",
    codes={"TV406"},
    remedies=("the same preparation for both sets",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def validation_of_other_channels(level: Level | None, seed: int) -> Training:
    """The columns of the validation set are in another order (moderate: all rows upside down)."""
    torch.manual_seed(seed)
    data = digits()
    if level is Level.BLATANT:
        order = torch.randperm(64, generator=torch.Generator().manual_seed(12))
        data = replace(data, x_test=data.x_test[:, order])
    elif level is Level.MODERATE:
        data = replace(data, x_test=data.x_test.view(-1, 8, 8).flip(1).flatten(1))
    return classify(mlp((64, 64, 64, 10)), data, seed, validate=loss_on_test(data))


@register.fault(
    "wide-table-of-noise",
    source="F52 for tables; own",
    codes={"TV406", "TV403"},
    onset=(0, 200),
    remedies=("choose features", "more data"),
)
def wide_table_of_noise(level: Level | None, seed: int) -> Training:
    """Sixteen features beside four hundred columns of noise, and a hundred rows: the net learns the rows by
    heart.
    """
    torch.manual_seed(seed)
    clean, draw = teacher(), torch.Generator().manual_seed(6)
    x, y = torch.cat([clean.x, clean.x_test]), torch.cat([clean.y, clean.y_test])
    columns = 400 if level is not None else 0
    whole = split(torch.cat([x, torch.randn(len(x), columns, generator=draw)], 1), y)
    if level is not None:
        whole = replace(whole, x=whole.x[:100], y=whole.y[:100])
    model = mlp((16 + columns, 64, 64, 1))
    training = regress(model, whole, seed, steps=300)
    training.validate = training.score
    return training
