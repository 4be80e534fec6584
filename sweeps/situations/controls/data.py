"""Inputs that look odd and are dealt with, and batches of unusual sizes."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify
from sweeps.situations.data import Data, cancer, raw_digits, split
from sweeps.situations.networks import Cnn, mlp
from sweeps.situations.situation import register
from sweeps.situations.training import Training


def _both(data: Data, change: Callable[[Tensor], Tensor]) -> Data:
    """Inputs changed alike for training and test."""
    return Data(change(data.x), data.y, change(data.x_test), data.y_test)


@register.control("raw-pixels-normed", source="H26")
def raw_pixels_normed(seed: int) -> Training:
    """Pixels of 0 to 255 into a batch norm, which is the first layer and does the scaling."""
    torch.manual_seed(seed)
    data = _both(raw_digits(), lambda x: (x * 255 / 16).view(-1, 1, 8, 8))
    model = nn.Sequential(nn.BatchNorm2d(1), Cnn())
    return classify(model, data, seed, optimizer=torch.optim.Adam(model.parameters(), lr=5e-3))


@register.control("log-mel-normed", source="H26")
def log_mel_normed(seed: int) -> Training:
    """Spectra in decibels, from -80 to 0, into a batch norm over their bands."""
    torch.manual_seed(seed)
    data = _both(raw_digits(), lambda x: 20 * torch.log10(x / 16 + 1e-4))
    model = nn.Sequential(nn.BatchNorm1d(64), mlp((64, 64, 64, 10)))
    return classify(model, data, seed, lr=0.05)


@register.control("pixels-0-to-1", source="own")
def pixels_0_to_1(seed: int) -> Training:
    """Pixels of 0 to 1, not centred, as most tutorials have them."""
    torch.manual_seed(seed)
    data, model = _both(raw_digits(), lambda x: x / 16), mlp((64, 64, 64, 10))
    return classify(model, data, seed, optimizer=torch.optim.Adam(model.parameters(), lr=3e-3))


@register.control("channels-standardised", source="H26")
def channels_standardised(seed: int) -> Training:
    """Three channels with the means and deviations of ImageNet: inputs of -2.1 to 2.7."""
    torch.manual_seed(seed)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    data = _both(raw_digits(), lambda x: ((x / 16).view(-1, 1, 8, 8) - mean) / deviation)
    model = Cnn(norm=True)
    model.conv1 = nn.Conv2d(3, 16, 3, padding=1)
    return classify(model, data, seed, optimizer=torch.optim.Adam(model.parameters(), lr=5e-3))


@register.control("one-hot-inputs", source="own")
def one_hot_inputs(seed: int) -> Training:
    """64 pixels of 5 grades, one-hot: four fifths of the inputs are 0, and some columns always."""
    torch.manual_seed(seed)
    data = _both(raw_digits(), lambda x: F.one_hot((x / 4).long().clamp(0, 4), 5).flatten(1).float())
    model = mlp((320, 64, 10))
    return classify(model, data, seed, optimizer=torch.optim.Adam(model.parameters(), lr=3e-3))


@register.control("bag-of-words", source="own")
def bag_of_words(seed: int) -> Training:
    """Weighted word counts of 1000 words, a percent of them above 0, and rows of length 1."""
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(25)
    topics = torch.rand(6, 1000, generator=draw) ** 12
    y = torch.randint(0, 6, (1500,), generator=draw)
    words = torch.multinomial(topics[y] + 0.02, 25, generator=draw)
    data = split(F.normalize(torch.zeros(1500, 1000).scatter_(1, words, 1.0)), y)
    model = mlp((1000, 32, 6))
    return classify(model, data, seed, optimizer=torch.optim.Adam(model.parameters(), lr=1e-2))


@register.control("heavy-tailed-inputs", source="own")
def heavy_tailed_inputs(seed: int) -> Training:
    """Features with outliers of dozens of deviations, into a layer norm and a small rate."""
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(26)
    x = torch.randn(2048, 16, generator=draw) / torch.rand(2048, 16, generator=draw).sqrt()
    data = split(x, (x[:, 0] + x[:, 1] * x[:, 2].sign() > 0).long())
    model = nn.Sequential(nn.LayerNorm(16), mlp((16, 64, 64, 2)))
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return classify(model, data, seed, optimizer=adam, steps=400)


@register.control("missing-values-marked", source="own")
def missing_values_marked(seed: int) -> Training:
    """A third of the values is missing: 0 in their place, and a second half of inputs that tells where."""
    torch.manual_seed(seed)

    def missing(x: Tensor) -> Tensor:
        there = (torch.rand(x.shape, generator=torch.Generator().manual_seed(len(x))) > 0.33).float()
        return torch.cat([x * there, there], 1)

    return classify(mlp((60, 32, 2)), _both(cancer(), missing), seed, lr=0.02)
