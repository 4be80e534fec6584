"""Recurrent networks that forget, explode, or run along the wrong axis."""

import torch
from torch import Tensor, nn

from sweeps.situations.common import classify
from sweeps.situations.data import Data
from sweeps.situations.networks import Lstm
from sweeps.situations.recipes import recall, speak
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training


class Reader(nn.Module):
    """Tells a token after each one that it reads, or at the end alone: modules `tokens`, `rnn`, `head`."""

    def __init__(self, rnn: nn.RNNBase, vocabulary: int, *, at_end: bool) -> None:
        super().__init__()
        self.at_end = at_end
        self.tokens = nn.Embedding(vocabulary, rnn.input_size)
        self.rnn, self.head = rnn, nn.Linear(rnn.hidden_size, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        states = self.rnn(self.tokens(tokens))[0]
        return self.head(states[:, -1] if self.at_end else states)


@register.fault(
    "tanh-rnn-forgets",
    source="F98",
    codes={"TV201"},
    where=("rnn*", "tokens"),
    onset=(0, 60),
    remedies=("LSTM or GRU with open gates", "init=orthogonal"),
)
def tanh_rnn_forgets(level: Level | None, seed: int) -> Training:
    """A vanilla tanh RNN has to remember a token over 60 steps, where its gradient is long gone. The clean
    twin is a GRU that starts by keeping what it holds.
    """
    torch.manual_seed(seed)
    rnn = nn.RNN(16, 32, batch_first=True) if level else nn.GRU(16, 32, batch_first=True)
    if isinstance(rnn, nn.GRU):
        nn.init.constant_(rnn.get_parameter("bias_ih_l0")[32:64], 4.0)
    all_places = recall(4, 60, 2000)
    data = Data(all_places.x, all_places.y[:, 0], all_places.x_test, all_places.y_test[:, 0])
    model = Reader(rnn, 4, at_end=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    return classify(model, data, seed, optimizer=optimizer, size=32, steps=250)


@register.fault(
    "relu-rnn-explodes",
    source="own",
    codes={"TV202", "TV104", "TV308"},
    where=("rnn*", "tokens", "head"),
    onset=(0, 20),
    remedies=("identity init", "trainer.gradient_clip_val=1.0"),
    levels=(Level.BLATANT, Level.MODERATE),
)
def relu_rnn_explodes(level: Level | None, seed: int) -> Training:
    """A ReLU RNN whose recurrent weights are six (moderate: four) times too large: states and gradients grow
    over the 32 tokens of a sentence.
    """
    torch.manual_seed(seed)
    rnn = nn.RNN(32, 32, nonlinearity="relu", batch_first=True)
    with torch.no_grad():
        rnn.get_parameter("weight_hh_l0").mul_({None: 1.0, Level.BLATANT: 6.0, Level.MODERATE: 4.0}[level])
    model = Reader(rnn, 32, at_end=False)
    return speak(model, seed, optimizer=torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9))


@register.fault(
    "lstm-over-batch", source="own", codes={"TV106"}, where=("", "lstm"), remedies=("batch_first=True",)
)
def lstm_over_batch(level: Level | None, seed: int) -> Training:
    """`batch_first=True` is missing: the LSTM runs along the batch, from one sentence to the next."""
    torch.manual_seed(seed)
    model = Lstm(8)
    model.lstm = nn.LSTM(32, 32, batch_first=level is None)
    return speak(model, seed, data=recall(), lr=1e-2)
