"""Rows and columns that are no data: not a number, infinite, or the same everywhere."""

from dataclasses import replace

import torch
from torch import Tensor

from sweeps.situations.common import classify, regress
from sweeps.situations.data import Data, digits, images, raw_digits, teacher
from sweeps.situations.networks import Cnn, mlp
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training

BAD = {"TV501", "TV203"}
"""The input that is bad, or the NaN whose origin is said to be the input."""
POISONED = "one NaN in a batch makes every weight NaN"


def spoilt(data: Data, share: float, value: float, column: int | None) -> Data:
    """The same with `value` in that share of the training rows, in one column or in all."""
    draw = torch.Generator().manual_seed(4)
    rows = torch.randperm(len(data.x), generator=draw)[: max(1, round(share * len(data.x)))]
    x = data.x.clone()
    if column is None:
        x[rows] = value
    else:
        x[rows, column] = value
    return replace(data, x=x)


@register.fault(
    "nan-rows",
    source="F47; SO 53640858, 51835124",
    codes=BAD,
    onset=(0, 200),
    remedies=("drop or fill rows that hold NaN",),
    levels=(Level.BLATANT, Level.MODERATE, Level.SUBTLE),
    certain=POISONED,
)
def nan_rows(level: Level | None, seed: int) -> Training:
    """A table with NaN in one feature of 5 % of its rows (moderate: 0.5 %, subtle: a single row of 1,434)."""
    torch.manual_seed(seed)
    share = {None: 0.0, Level.BLATANT: 0.05, Level.MODERATE: 0.005, Level.SUBTLE: 0.0}[level]
    data = teacher() if level is None else spoilt(teacher(), share, float("nan"), 7)
    return regress(mlp((16, 64, 64, 1)), data, seed, steps=250)


@register.fault(
    "nan-image",
    source="F47 on convolutions",
    codes=BAD,
    onset=(0, 60),
    remedies=("drop images that could not be read",),
    certain=POISONED,
)
def nan_image(level: Level | None, seed: int) -> Training:
    """Three images that could not be read are full of NaN, in front of a CNN with batch norm."""
    torch.manual_seed(seed)
    data = images() if level is None else spoilt(images(), 3 / 1258, float("nan"), None)
    return classify(Cnn(norm=True), data, seed, lr=0.05, steps=150)


@register.fault(
    "nan-targets",
    source="F47 for targets; own",
    codes=BAD,
    onset=(0, 120),
    remedies=("drop rows without a target",),
    levels=(Level.BLATANT, Level.MODERATE),
    certain=POISONED,
)
def nan_targets(level: Level | None, seed: int) -> Training:
    """A regression in which 2 % of the targets (moderate: 0.2 %) are missing and became NaN."""
    torch.manual_seed(seed)
    data = teacher()
    if level is not None:
        y = data.y.clone()
        y[:: 50 if level is Level.BLATANT else 500] = float("nan")
        data = replace(data, y=y)
    return regress(mlp((16, 64, 64, 1)), data, seed)


def _ratio(x: Tensor, *, guarded: bool) -> Tensor:
    """Features and the ratio of two of them, of which the second is 0 at times."""
    counts = (x[:, 1].abs() * 60).floor()
    ratio = torch.where(counts > 0, x[:, 0] / counts, 0.0) if guarded else x[:, 0] / counts
    return torch.cat([x, ratio[:, None]], 1)


@register.fault(
    "infinite-ratio",
    source="own; a division in the preprocessing",
    codes=BAD,
    onset=(0, 40),
    remedies=("guard the division",),
    certain="one Inf in a batch makes weights NaN",
)
def infinite_ratio(level: Level | None, seed: int) -> Training:
    """A feature that is a ratio, whose denominator counts things and is 0 in one row of a hundred."""
    torch.manual_seed(seed)
    data, good = teacher(), level is None
    data = replace(data, x=_ratio(data.x, guarded=good), x_test=_ratio(data.x_test, guarded=True))
    return regress(mlp((17, 64, 64, 1)), data, seed)


@register.fault(
    "standardised-constant-column",
    source="own; 0/0 of a column without spread",
    codes=BAD,
    remedies=("add an eps to the standard deviation",),
    certain="every row has a NaN in it",
)
def standardised_constant_column(level: Level | None, seed: int) -> Training:
    """Pixels are standardised one by one, and those of the edge, which are always 0, become 0/0."""
    torch.manual_seed(seed)
    raw = raw_digits()
    eps = 1e-6 if level is None else 0.0
    mean, std = raw.x.mean(0), raw.x.std(0).clamp_min(eps)
    test = ((raw.x_test - mean) / std.clamp_min(1e-6)).clamp(-5, 5)
    data = Data((raw.x - mean) / std, raw.y, test, raw.y_test)
    return classify(mlp((64, 64, 64, 10)), data, seed)


@register.fault(
    "integer-division",
    source="own; pixels // 255",
    codes={"TV501"},
    remedies=("divide as floats",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def integer_division(level: Level | None, seed: int) -> Training:
    """Pixels of 0 to 16 are divided by 16 (blatant: by 255) as whole numbers, so that all but the brightest,
    or just all, become 0.
    """
    torch.manual_seed(seed)
    data = raw_digits()
    if level is None:
        data = replace(data, x=data.x / 16, x_test=data.x_test / 16)
    else:
        by = 255 if level is Level.BLATANT else 16
        data = replace(data, x=data.x // by, x_test=data.x_test // by)
    return classify(mlp((64, 64, 64, 10)), data, seed)


@register.fault(
    "same-row-for-all",
    source="own; an index that was not advanced",
    codes={"TV501"},
    remedies=("read the row that was asked for",),
    certain="what is the same for all samples tells nothing about any",
)
def same_row_for_all(level: Level | None, seed: int) -> Training:
    """The data set reads the first row whatever index it is asked for, while the labels move on."""
    torch.manual_seed(seed)
    data = digits()
    if level is not None:
        data = replace(data, x=data.x[:1].expand_as(data.x).contiguous())
    return classify(mlp((64, 64, 64, 10)), data, seed)


@register.fault(
    "blank-images",
    source="own; a mask the wrong way round",
    codes={"TV501"},
    remedies=("invert the mask",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def blank_images(level: Level | None, seed: int) -> Training:
    """The mask that was to hide the margins of an image hides all but the margins (moderate: all but one
    column).
    """
    torch.manual_seed(seed)
    data = images()
    keep = torch.zeros(8) if level is Level.BLATANT else torch.tensor([0, 0, 0, 0, 0, 0, 1.0, 0])
    mask = torch.ones(8) if level is None else keep
    data = replace(data, x=data.x * mask, x_test=data.x_test * mask)
    return classify(Cnn(), data, seed, lr=0.1, steps=200)
