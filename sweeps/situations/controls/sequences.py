"""Recurrent networks and convolutions over time, with the gates, paddings and clips that belong to them."""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from sweeps.situations.common import classify, error_rate, loss_on_test, regress
from sweeps.situations.data import Data, images, language, split
from sweeps.situations.loops import clipped_untold
from sweeps.situations.networks import Lstm
from sweeps.situations.recipes import speak
from sweeps.situations.situation import register
from sweeps.situations.training import Eyes, Training, clipped


@cache
def rows() -> Data:
    """Digits as sequences of 8 rows of 8 pixels."""
    data = images()
    return Data(data.x[:, 0], data.y, data.x_test[:, 0], data.y_test)


class Last(nn.Module):
    """Modules `rnn` and `head`, which sees the last state."""

    def __init__(self, rnn: nn.Module, width: int) -> None:
        super().__init__()
        self.rnn, self.head = rnn, nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


@register.control("tanh-rnn", source="own")
def tanh_rnn(seed: int) -> Training:
    """A plain recurrent net over 8 steps, few enough for it."""
    torch.manual_seed(seed)
    model = Last(nn.RNN(8, 64, batch_first=True), 64)
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return classify(model, rows(), seed, optimizer=adam, steps=300, iterate=clipped_untold(1.0))


@register.control("gru", source="own")
def gru(seed: int) -> Training:
    """Two layers of GRU from the library."""
    torch.manual_seed(seed)
    model = Last(nn.GRU(8, 32, num_layers=2, batch_first=True, dropout=0.1), 32)
    return classify(model, rows(), seed, optimizer=torch.optim.Adam(model.parameters(), lr=1e-2))


@register.control("lstm-both-ways", source="own")
def lstm_both_ways(seed: int) -> Training:
    """An LSTM in both directions, with an orthogonal recurrence and forget gates open at the start."""
    torch.manual_seed(seed)
    lstm = nn.LSTM(8, 32, batch_first=True, bidirectional=True)
    for name, parameter in lstm.named_parameters():
        if "weight_hh" in name:
            nn.init.orthogonal_(parameter)
        if "bias_ih" in name:
            nn.init.constant_(parameter[32:64], 1.0)
    model = Last(lstm, 64)
    return classify(model, rows(), seed, optimizer=torch.optim.Adam(model.parameters(), lr=1e-2))


@register.control("lstm-clipped-hard", source="H20")
def lstm_clipped_hard(seed: int) -> Training:
    """An LSTM language model under SGD at a high rate, its gradients clipped to a norm of 0.25 all the time."""
    torch.manual_seed(seed)
    model = Lstm()
    sgd = torch.optim.SGD(model.parameters(), lr=5.0)
    return speak(model, seed, optimizer=sgd, iterate=clipped(0.25), steps=300)


def _padded() -> Data:
    """Sentences of 4 to 24 words, then word 32; targets beyond the end are -100, which losses leave out."""
    base = language(length=24)

    def cut(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        draw = torch.Generator().manual_seed(len(x))
        beyond = torch.arange(24) >= torch.randint(4, 25, (len(x), 1), generator=draw)
        return x.masked_fill(beyond, 32), y.masked_fill(beyond, -100)

    return Data(*cut(base.x, base.y), *cut(base.x_test, base.y_test))


class Packed(nn.Module):
    """Modules `tokens`, `lstm`, `head`, on packed sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(33, 32, padding_idx=32)
        self.lstm, self.head = nn.LSTM(32, 32, batch_first=True), nn.Linear(32, 32)

    def forward(self, tokens: Tensor) -> Tensor:
        lengths = (tokens != 32).sum(1)
        packed = pack_padded_sequence(self.tokens(tokens), lengths, batch_first=True, enforce_sorted=False)
        out, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=tokens.shape[1])
        return self.head(out)


@register.control("packed-lstm", source="H56")
def packed_lstm(seed: int) -> Training:
    """Sentences of many lengths, packed for an LSTM: what is beyond their ends is 0 everywhere."""
    torch.manual_seed(seed)
    return speak(Packed(), seed, data=_padded(), lr=1e-2)


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
    wave = torch.sin(torch.arange(25) * 0.4 + phase)
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

    return regress(model, data, seed, optimizer=lbfgs, iterate=iterate, steps=60)


@register.control("ctc", source="own")
def ctc(seed: int) -> Training:
    """Three symbols somewhere in 12 noisy frames, by the CTC loss: at first it learns the blank alone."""
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(19)
    symbols = torch.randint(1, 6, (768, 3), generator=draw)
    frames = 0.3 * torch.randn(768, 12, 6, generator=draw)
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
    return classify(model, data, seed, optimizer=adam, loss=loss, score=loss_on_test(data, loss), size=32)


@register.control("truncated-backpropagation", source="own")
def truncated_backpropagation(seed: int) -> Training:
    """The state of the recurrent net is carried, detached, from one piece of a sequence to the next."""
    torch.manual_seed(seed)

    class Carried(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.head = nn.GRU(8, 48, batch_first=True), nn.Linear(48, 10)

        def forward(self, x: Tensor) -> Tensor:
            state = self.gru(x[:, :4])[1].detach()
            return self.head(self.gru(x[:, 4:], state)[0][:, -1])

    model, data = Carried(), rows()
    adam = torch.optim.Adam(model.parameters(), lr=1e-2)
    return classify(model, data, seed, optimizer=adam, score=error_rate(data))
