"""Training data that is not like the data it is for: imbalance, leakage, augmentation."""

from dataclasses import replace

import torch
from torch import Tensor

from sweeps.situations.common import classify, loss_on_test
from sweeps.situations.data import Data, cancer, circles, digits, images
from sweeps.situations.networks import Cnn, mlp
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training


def _rare(share: float) -> Data:
    """Two rings that overlap, of whose second that share is left for training; the test has both."""
    data, draw = circles(16384), torch.Generator().manual_seed(5)
    keep = (data.y == 0) | (torch.rand(len(data.y), generator=draw) < share)
    blur, blur_test = (0.3 * torch.randn(x.shape, generator=draw) for x in (data.x, data.x_test))
    return Data((data.x + blur)[keep], data.y[keep], data.x_test + blur_test, data.y_test)


@register.fault(
    "imbalance",
    source="F51; SO 53358838, TheDeepChecker unb_data",
    codes={"TV403"},
    onset=(0, 250),
    remedies=("weight the classes by their inverse frequency", "draw the classes evenly"),
)
def imbalance(level: Level | None, seed: int) -> Training:
    """One row in a hundred is of the other class, under plain cross-entropy: all are told to be of the first.
    The twin draws both classes as often.
    """
    torch.manual_seed(seed)
    data = _rare(0.01)
    training = classify(mlp((2, 32, 32, 2)), data, seed, lr=0.02, steps=300)
    if level is None:
        first, other = (torch.where(data.y == label)[0] for label in (0, 1))

        def batch(step: int) -> tuple[Tensor, Tensor]:
            draw = torch.Generator().manual_seed(1_000_003 * seed + step)
            rows = [of[torch.randint(0, len(of), (32,), generator=draw)] for of in (first, other)]
            return data.x[torch.cat(rows)], data.y[torch.cat(rows)]

        training.batch = batch
    return training


def _leaky(data: Data, *, in_test: bool) -> Data:
    """With one more column that holds the label, times 3; what is not known for the test is 0."""
    train = torch.cat([data.x, 3.0 * data.y[:, None]], 1)
    known = 3.0 * data.y_test[:, None] if in_test else torch.zeros(len(data.y_test), 1)
    return replace(data, x=train, x_test=torch.cat([data.x_test, known], 1))


@register.fault(
    "target-leaks",
    source="F56",
    codes={"TV503", "TV406"},
    onset=(0, 90),
    remedies=("remove the feature that is the target",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def target_leaks(level: Level | None, seed: int) -> Training:
    """One of the features is the target under another name, in the training data alone (moderate: in the
    validation set too, so that all numbers are splendid until it is used, where the feature is not known
    yet).
    """
    torch.manual_seed(seed)
    data = cancer()
    blind = _leaky(data, in_test=False)
    if level is None:
        zeros = torch.zeros(len(data.x), 1)
        shown, told = replace(blind, x=torch.cat([data.x, zeros], 1)), blind
    else:
        shown, told = blind, _leaky(data, in_test=level is Level.MODERATE)
    return classify(
        mlp((31, 64, 64, 2)),
        shown,
        seed,
        lr=0.05,
        validate=loss_on_test(told),
        score=loss_on_test(blind),
        steps=100,
    )


@register.fault(
    "noise-drowns-signal",
    source="F52; SO 57275278, TheDeepChecker wrong_augm",
    codes={"TV403"},
    onset=(0, 180),
    remedies=("augment less",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def noise_drowns_signal(level: Level | None, seed: int) -> Training:
    """Noise of 20 times (moderate: 6 times) the standard deviation of the pixels as augmentation,
    standardised again behind it; the twin's is of a tenth.
    """
    torch.manual_seed(seed)
    sigma = {None: 0.1, Level.BLATANT: 20.0, Level.MODERATE: 6.0}.get(level, 0.1)
    training = classify(mlp((64, 64, 64, 10)), digits(), seed, lr=0.02)
    clean = training.batch

    def batch(step: int) -> tuple[Tensor, Tensor]:
        x, y = clean(step)
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(step))
        return (x + sigma * noise) / (1 + sigma**2) ** 0.5, y

    training.batch = batch
    return training


@register.fault(
    "turned-and-mirrored",
    source="F52; TheDeepChecker wrong_augm",
    codes={"TV403"},
    onset=(0, 200),
    remedies=("augment by what leaves the label as it is",),
)
def turned_and_mirrored(level: Level | None, seed: int) -> Training:
    """Digits are turned by quarters, mirrored and shifted in a circle at random: a 6 is a 9, and a 2 a 5. The
    validation shows them upright.
    """
    torch.manual_seed(seed)
    training = classify(Cnn(), images(), seed, lr=0.05, steps=250, validate=loss_on_test(images()))
    clean = training.batch

    def batch(step: int) -> tuple[Tensor, Tensor]:
        x, y = clean(step)
        draw = torch.Generator().manual_seed(step)
        turns, mirror, shift = torch.randint(0, 8, (3, len(x)), generator=draw).tolist()
        made = [
            torch.rot90(image.flip(-1) if m % 2 else image, t, (1, 2)).roll(s, -1)
            for image, t, m, s in zip(x, turns, mirror, shift, strict=True)
        ]
        return torch.stack(made), y

    if level is not None:
        training.batch = batch
    return training
