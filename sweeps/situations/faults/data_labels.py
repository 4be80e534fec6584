"""Labels that do not belong to their inputs. From inside such a training looks well, or merely slow."""

from dataclasses import replace

import torch
from torch import Tensor

from sweeps.situations.common import classify, error_rate, loss_on_test, regress, squared_error
from sweeps.situations.data import Data, digits, images, language, teacher
from sweeps.situations.networks import Cnn, Gpt, mlp
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training

MISALIGNED = {"TV403", "TV406"}
"""Nothing can be learnt; or what is learnt by heart does not hold on other data."""


def mixed(y: Tensor, share: float) -> Tensor:
    """The same with that share of the labels dealt out anew among themselves."""
    draw = torch.Generator().manual_seed(11)
    rows = torch.randperm(len(y), generator=draw)[: round(share * len(y))]
    y = y.clone()
    y[rows] = y[rows[torch.randperm(len(rows), generator=draw)]]
    return y


def _told(data: Data, seed: int, *, steps: int = 300) -> Training:
    """An MLP on `data` whose user measures the validation loss."""
    model = mlp((64, 128, 128, 10))
    return classify(model, data, seed, steps=steps, validate=loss_on_test(data))


@register.fault(
    "features-shuffled-labels-not",
    source="F46; SO 40467990, TheDeepChecker wrong_lbl",
    codes=MISALIGNED,
    onset=(0, 150),
    remedies=("shuffle both by the same order",),
    certain="labels of other rows say nothing about these",
)
def features_shuffled_labels_not(level: Level | None, seed: int) -> Training:
    """The features of the training set were shuffled and their labels were not."""
    torch.manual_seed(seed)
    data = digits()
    if level is not None:
        data = replace(data, y=mixed(data.y, 1.0))
    return _told(data, seed, steps=400)


@register.fault(
    "targets-shuffled",
    source="F46 for a regression",
    codes=MISALIGNED,
    onset=(0, 150),
    remedies=("shuffle both by the same order",),
    certain="targets of other rows say nothing about these",
)
def targets_shuffled(level: Level | None, seed: int) -> Training:
    """The same for the numbers that a regression is after."""
    torch.manual_seed(seed)
    data = teacher()
    if level is not None:
        data = replace(data, y=mixed(data.y, 1.0))
    told = loss_on_test(data, squared_error)
    return regress(mlp((16, 128, 128, 1)), data, seed, steps=300, validate=told)


@register.fault(
    "labels-one-row-late",
    source="F46; own",
    codes=MISALIGNED,
    onset=(0, 150),
    remedies=("read inputs and labels by the same index",),
    certain="labels of other rows say nothing about these",
)
def labels_one_row_late(level: Level | None, seed: int) -> Training:
    """A header line was dropped in the file of labels alone, so that each image has the label of the next."""
    torch.manual_seed(seed)
    data = images()
    if level is not None:
        data = replace(data, y=data.y.roll(-1))
    return classify(Cnn(norm=True), data, seed, lr=0.05, steps=250, validate=loss_on_test(data))


@register.fault(
    "reshape-for-transpose",
    source="own; F46 by reshape",
    codes=MISALIGNED,
    onset=(0, 150),
    remedies=("transpose, then reshape",),
    certain="every row holds one feature of many samples",
)
def reshape_for_transpose(level: Level | None, seed: int) -> Training:
    """Features were stored column by column and are brought into rows by `reshape`, which mixes the samples;
    the validation set was stored row by row.
    """
    torch.manual_seed(seed)
    data = digits()
    if level is not None:
        data = replace(data, x=data.x.T.reshape(data.x.shape))
    return _told(data, seed)


@register.fault(
    "label-noise",
    source="F106; TheDeepChecker corrupted_labels",
    codes=MISALIGNED,
    onset=(0, 250),
    remedies=("clean the labels",),
    levels=(Level.BLATANT, Level.MODERATE, Level.SUBTLE),
)
def label_noise(level: Level | None, seed: int) -> Training:
    """All labels of a small training set (moderate: 60 %, subtle: 30 %) were drawn by lot, and the net is
    large enough to learn them by heart.
    """
    torch.manual_seed(seed)
    share = {None: 0.0, Level.BLATANT: 1.0, Level.MODERATE: 0.6, Level.SUBTLE: 0.3}[level]
    data = replace(digits(), x=digits().x[:400], y=mixed(digits().y[:400], share))
    return _told(data, seed)


@register.fault(
    "labels-off-by-one",
    source="F55; SO 59325381",
    codes={"TV406"},
    onset=(0, 100),
    remedies=("encode the labels of both sets alike",),
    certain="every answer is that for the next class",
)
def labels_off_by_one(level: Level | None, seed: int) -> Training:
    """The training labels count from 1 (10 became 0) and those of the validation from 0."""
    torch.manual_seed(seed)
    data = digits()
    if level is not None:
        data = replace(data, y=(data.y + 1) % 10)
    return _told(data, seed)


@register.fault(
    "labels-clamped",
    source="F55; SO 59282996",
    codes={"TV405", "TV406", "TV503"},
    remedies=("encode all classes",),
    levels=(Level.BLATANT, Level.MODERATE),
    certain="no sample of some classes is ever shown as such",
)
def labels_clamped(level: Level | None, seed: int) -> Training:
    """Labels above 2 (moderate: above 6) were clamped to it, so that most logits are never a target."""
    torch.manual_seed(seed)
    data = digits()
    if level is not None:
        data = replace(data, y=data.y.clamp_max(2 if level is Level.BLATANT else 6))
    return _told(data, seed)


@register.fault(
    "labels-all-zero",
    source="F55; labels divided by 255",
    codes={"TV405", "TV501", "TV406"},
    remedies=("scale the inputs alone",),
    certain="one class is all there is to learn",
)
def labels_all_zero(level: Level | None, seed: int) -> Training:
    """The labels were divided by 255 along with the pixels and are 0 as whole numbers."""
    torch.manual_seed(seed)
    data = images()
    if level is not None:
        data = replace(data, y=data.y // 255)
    return classify(Cnn(), data, seed, lr=0.05, validate=loss_on_test(data), score=error_rate(data))


@register.fault(
    "tokens-shuffled",
    source="F46 for a language model; own",
    codes=MISALIGNED,
    onset=(0, 100),
    remedies=("shuffle sentences, not their tokens",),
    certain="no token says anything about the next",
)
def tokens_shuffled(level: Level | None, seed: int) -> Training:
    """The targets of a language model were shuffled across the whole text."""
    torch.manual_seed(seed)
    data = language()
    if level is not None:
        data = replace(data, y=mixed(data.y.flatten(), 1.0).view_as(data.y))
    model = Gpt()
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    told = loss_on_test(data)
    return classify(model, data, seed, optimizer=adam, size=16, steps=120, validate=told, score=told)
