"""Recurrent networks that forget, explode, or run along the wrong axis."""

import torch
from torch import Tensor, nn

from sweeps.situations.common import classify
from sweeps.situations.networks import Lstm
from sweeps.situations.recipes import recall, speak
from sweeps.situations.situation import Level, register
from sweeps.situations.data import Data
from sweeps.situations.training import Training


class Remembers(nn.Module):
    """Reads a sequence and tells a class at its end: modules `tokens`, `rnn`, `head`."""

    def __init__(self, rnn: nn.RNNBase, vocabulary: int, width: int) -> None:
        super().__init__()
        self.tokens, self.rnn, self.head = nn.Embedding(vocabulary, width), rnn, nn.Linear(width, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.rnn(self.tokens(tokens))[0][:, -1])


def first_of(length: int) -> Data:
    """Sequences whose class is their first token."""
    data = recall(4, length)
    return Data(data.x, data.y[:, 0], data.x_test, data.y_test[:, 0])


@register.fault(
    "tanh-rnn-forgets", source="F98", codes={"TV201"}, where=("rnn*", "tokens"), onset=(0, 60),
    remedies=("LSTM", "init=orthogonal"),
)
def tanh_rnn_forgets(level: Level | None, seed: int) -> Training:
    """A vanilla tanh RNN has to remember a token over 60 steps, where its gradient is long gone. The clean
    twin is an LSTM that starts with open forget gates.
    """
    torch.manual_seed(seed)
    rnn = nn.RNN(16, 32, batch_first=True) if level else nn.LSTM(16, 32, batch_first=True)
    model = Remembers(rnn, 4, 32)
    model.tokens = nn.Embedding(4, 16)
    if isinstance(rnn, nn.LSTM):
        nn.init.constant_(rnn.bias_ih_l0[32:64], 5.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    return classify(model, first_of(60), seed, optimizer=optimizer, size=32, steps=250)


@register.fault(
    "relu-rnn-explodes", source="own", codes={"TV202", "TV104", "TV308"}, where=("rnn*", "tokens", "head"),
    onset=(0, 20), remedies=("identity init", "trainer.gradient_clip_val=1.0"),
    levels=(Level.BLATANT, Level.MODERATE),
)
def relu_rnn_explodes(level: Level | None, seed: int) -> Training:
    """A ReLU RNN over 20 tokens whose recurrent weights are twice (moderate: 1.5 times) the identity."""
    torch.manual_seed(seed)
    rnn = nn.RNN(16, 32, nonlinearity="relu", batch_first=True)
    model = Remembers(rnn, 4, 32)
    model.tokens = nn.Embedding(4, 16)
    nn.init.eye_(rnn.weight_hh_l0)
    with torch.no_grad():
        rnn.weight_hh_l0.mul_({None: 1.0, Level.BLATANT: 2.0, Level.MODERATE: 1.5}[level])
        rnn.weight_ih_l0.mul_(0.1)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    return classify(model, first_of(20), seed, optimizer=optimizer, size=32)


@register.fault(
    "lstm-over-batch", source="own", codes={"TV106"}, where=("", "lstm"), remedies=("batch_first=True",)
)
def lstm_over_batch(level: Level | None, seed: int) -> Training:
    """`batch_first=True` is missing: the LSTM runs along the batch, from one sentence to the next."""
    torch.manual_seed(seed)
    model = Lstm(8)
    model.lstm = nn.LSTM(32, 32, batch_first=level is None)
    return speak(model, seed, data=recall(), lr=1e-2)
