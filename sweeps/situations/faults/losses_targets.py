"""Losses that ask for the wrong thing: classes left out, weighted the wrong way, or the input itself."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify, error_rate, loss_on_test
from sweeps.situations.data import digits, images, language
from sweeps.situations.networks import Cnn, Gpt, mlp
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training


@register.fault(
    "ignored-class",
    source="own; ignore_index that is a class",
    codes={"TV405"},
    remedies=("ignore_index=-100",),
    certain="no sample of the class ever counts",
)
def ignored_class(level: Level | None, seed: int) -> Training:
    """`ignore_index=0`, copied from a task where 0 was padding, on digits, where it is one of them."""
    torch.manual_seed(seed)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x, y = batch
        return F.cross_entropy(model(x), y, ignore_index=-100 if level is None else 0)

    return classify(mlp((64, 64, 64, 10)), digits(), seed, loss=loss, score=error_rate(digits()))


@register.fault(
    "targets-not-shifted",
    source="own; a language model that predicts its own input",
    codes={"TV406", "TV403", "TV405"},
    remedies=("shift the targets by one token",),
    certain="what is learnt is to copy",
)
def targets_not_shifted(level: Level | None, seed: int) -> Training:
    """The targets of a language model are its inputs: the loss falls to 0, and the validation, with the shift
    in it, rises.
    """
    torch.manual_seed(seed)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x, y = batch
        return F.cross_entropy(model(x).flatten(0, -2), (y if level is None else x).flatten())

    model = Gpt()
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    said = loss_on_test(language())
    return classify(
        model, language(), seed, optimizer=adam, size=16, loss=loss, validate=said, score=said, steps=120
    )


@register.fault(
    "class-weights-inverted",
    source="F38; SO 46202839",
    codes={"TV403", "TV405"},
    remedies=("weights that grow as classes get rarer",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def class_weights_inverted(level: Level | None, seed: int) -> Training:
    """Weights in proportion to the class frequencies (blatant: to their squares), where they should be
    inverse, on digits of which seven classes are rare. What is told from inside is a loss that is fine.
    """
    torch.manual_seed(seed)
    frequency = torch.tensor([1.0, 1.0, 1.0] + [0.05] * 7)
    power = {None: -1, Level.BLATANT: 2, Level.MODERATE: 1}.get(level, -1)
    weight = frequency**power / (frequency**power).sum()
    batches = images().batches(512, seed)

    def batch(step: int) -> tuple[Tensor, Tensor]:
        x, y = batches(step)
        draw = torch.Generator().manual_seed(1_000_003 * seed + step)
        rows = torch.multinomial(frequency[y], 64, generator=draw)
        return x[rows], y[rows]

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x, y = batch
        return F.cross_entropy(model(x), y, weight=weight)

    training = classify(Cnn(), images(), seed, lr=0.05, loss=loss)
    training.batch = batch
    return training
