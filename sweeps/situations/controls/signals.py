"""Waves, frames and pieces of sequences."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify, loss_on_test, regress
from sweeps.situations.data import Data, split
from sweeps.situations.recipes import speak
from sweeps.situations.situation import register
from sweeps.situations.training import Eyes, Training


class Causal(nn.Module):
    """A convolution over what was before, beside a skip."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.conv, self.past = nn.Conv1d(width, width, 3, dilation=dilation), 2 * dilation

    def forward(self, x: Tensor) -> Tensor:
        return x + F.relu(self.conv(F.pad(x, (self.past, 0))))


class Temporal(nn.Module):
    """Modules `tokens`, `convs.<i>`, `head`."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(32, 32)
        self.convs = nn.Sequential(*(Causal(32, dilation) for dilation in (1, 2, 4)))
        self.head = nn.Linear(32, 32)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.convs(self.tokens(tokens).transpose(1, 2)).transpose(1, 2))


@register.control("temporal-cnn", source="own")
def temporal_cnn(seed: int) -> Training:
    """Dilated causal convolutions as a language model."""
    torch.manual_seed(seed)
    return speak(Temporal(), seed, lr=5e-3)


class Wave(nn.Module):
    """The next value of a wave from those before: modules `cell`, `head`."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.cell, self.head, self.width = nn.LSTMCell(1, width), nn.Linear(width, 1), width

    def forward(self, x: Tensor) -> Tensor:
        h = c = torch.zeros(len(x), self.width)
        said = []
        for t in range(x.shape[1]):
            h, c = self.cell(x[:, t : t + 1], (h, c))
            said.append(self.head(h))
        return torch.cat(said, 1)


def _waves() -> Data:
    draw = torch.Generator().manual_seed(18)
    phase = torch.rand(96, 1, generator=draw) * 6.28
    wave = torch.sin(torch.arange(19) * 0.5 + phase)
    return split(wave[:, :-1], wave[:, 1:])


@register.control("lbfgs-waves", source="H44, H57")
def lbfgs_waves(seed: int) -> Training:
    """Sine waves by an LSTM cell under LBFGS, which asks for the loss as often as it likes."""
    torch.manual_seed(seed)
    model, data = Wave(), _waves()
    lbfgs = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=4)

    def iterate(training: Training, _step: int, _eyes: Eyes) -> Tensor:
        def closure() -> Tensor:
            lbfgs.zero_grad()
            loss = F.mse_loss(training.model(data.x), data.y)
            loss.backward()
            return loss

        return torch.as_tensor(lbfgs.step(closure))

    return regress(model, data, seed, optimizer=lbfgs, iterate=iterate, steps=50)


@register.control("ctc", source="own")
def ctc(seed: int) -> Training:
    """Three symbols somewhere in 12 noisy frames, by the CTC loss: at first it learns the blank alone."""
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(19)
    symbols = torch.randint(1, 6, (768, 3), generator=draw)
    frames = 0.2 * torch.randn(768, 12, 6, generator=draw)
    for i in range(3):
        place = 4 * i + torch.randint(0, 3, (768, 1, 1), generator=draw)
        frames += (torch.arange(12)[:, None] == place) * F.one_hot(symbols[:, i : i + 1], 6)
    data = split(frames, symbols)

    def loss(model: Any, batch: Any) -> Tensor:
        scores = model(batch[0]).log_softmax(-1).transpose(0, 1)
        n = len(batch[0])
        return F.ctc_loss(scores, batch[1], torch.full((n,), 12), torch.full((n,), 3))

    class Listener(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.head = nn.GRU(6, 24, batch_first=True, bidirectional=True), nn.Linear(48, 6)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.gru(x)[0])

    model = Listener()
    adam = torch.optim.Adam(model.parameters(), lr=1e-2)
    return classify(
        model, data, seed, optimizer=adam, loss=loss, score=loss_on_test(data, loss), size=32, steps=250
    )
