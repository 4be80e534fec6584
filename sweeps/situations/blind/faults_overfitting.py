"""Trainings that learn their few rows by heart."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from sweeps.situations.blind.sets import prose, shapes
from sweeps.situations.common import classify, loss_on_test, regress
from sweeps.situations.data import Data, teacher
from sweeps.situations.networks import Gpt, mlp
from sweeps.situations.recipes import speak, validation
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training


@register.fault(
    "a-handful-of-sentences",
    source="own",
    codes={"TV406"},
    onset=(25, 299),
    remedies=("more text", "stop early"),
    levels=(Level.BLATANT, Level.MODERATE),
)
def a_handful_of_sentences(level: Level | None, seed: int) -> Training:
    """A transformer goes over 8 (moderate: 24) lines of text again and again; its twin has more."""
    torch.manual_seed(seed)
    data = prose()
    if level is not None:
        rows = 8 if level is Level.BLATANT else 24
        data = replace(data, x=data.x[:rows], y=data.y[:rows])
    return speak(Gpt(27), seed, data=data, size=8, steps=300, validate=validation(data))


class Rows(nn.Module):
    """Modules `identifier` and `net`."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.identifier = nn.Embedding(rows, 8) if rows else None
        self.net = mlp((24 if rows else 16, 64, 1))

    def forward(self, x: Tensor) -> Tensor:
        if self.identifier is None:
            return self.net(x[:, 1:])
        return self.net(torch.cat([self.identifier(x[:, 0].long()), x[:, 1:]], 1))


@register.fault(
    "customer-number-embedded",
    source="own",
    codes={"TV406"},
    where=("identifier*", ""),
    onset=(0, 399),
    remedies=("drop the identifier",),
)
def customer_number_embedded(level: Level | None, seed: int) -> Training:
    """The number of the customer is embedded like a category: each row of 300 is known by its number,
    and those of the validation are new.
    """
    torch.manual_seed(seed)
    clean = teacher()
    x, y = (
        clean.x[:300],
        clean.y[:300] + 0.5 * torch.randn(300, 1, generator=torch.Generator().manual_seed(4)),
    )
    number = torch.arange(300 + len(clean.x_test), dtype=torch.float32).unsqueeze(1)
    data = Data(torch.cat([number[:300], x], 1), y, torch.cat([number[300:], clean.x_test], 1), clean.y_test)
    model = Rows(0 if level is None else len(number))
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    training = regress(model, data, seed, optimizer=adam, size=32, steps=400)
    training.validate = training.score
    return training


@register.fault(
    "thirty-images",
    source="own",
    codes={"TV406"},
    onset=(0, 199),
    remedies=("more images", "augmentation", "a pretrained net"),
    levels=(Level.BLATANT, Level.MODERATE),
)
def thirty_images(level: Level | None, seed: int) -> Training:
    """A CNN with two wide layers behind it is trained on 30 images (moderate: 90)."""
    torch.manual_seed(seed)
    data = shapes()
    if level is not None:
        rows = 30 if level is Level.BLATANT else 90
        data = replace(data, x=data.x[:rows], y=data.y[:rows])
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    model.append(mlp((288, 128, 3)))
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return classify(
        model, data, seed, optimizer=adam, size=16, validate=validation(data), score=loss_on_test(data)
    )
