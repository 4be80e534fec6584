"""Recurrent networks and convolutions over time, with the gates, paddings and clips that belong to them."""

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from sweeps.situations.common import classify, error_rate
from sweeps.situations.data import Data, images, language
from sweeps.situations.loops import clipped_untold
from sweeps.situations.networks import Lstm
from sweeps.situations.recipes import speak
from sweeps.situations.situation import register
from sweeps.situations.training import Training, clipped


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
    """An LSTM language model under SGD at a rate of 5, clipped to 0.25: always at first, later
    now and then.
    """
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
