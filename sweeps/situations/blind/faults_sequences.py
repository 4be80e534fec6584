"""Recurrent nets that read the wrong end, or the wrong sample."""

import torch
from torch import Tensor, nn

from sweeps.situations.blind.sets import reviews
from sweeps.situations.common import classify
from sweeps.situations.data import Data, digits, split
from sweeps.situations.networks import mlp
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training


class Reader(nn.Module):
    """Modules `words`, `rnn`, `head`."""

    def __init__(self, *, at_the_end: bool) -> None:
        super().__init__()
        self.at_the_end = at_the_end
        self.words = nn.Embedding(40, 24, padding_idx=0)
        self.rnn, self.head = nn.RNN(24, 32, batch_first=True), nn.Linear(32, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        out, _ = self.rnn(self.words(tokens))
        last = torch.full((len(tokens),), -1) if self.at_the_end else (tokens > 0).sum(1) - 1
        return self.head(out[torch.arange(len(tokens)), last])


@register.fault(
    "last-state-behind-padding",
    source="SO 53212507; own",
    codes={"TV201", "TV103"},
    where=("rnn*", "words*"),
    onset=(0, 100),
    remedies=("pack_padded_sequence", "the last state that is not padding"),
)
def last_state_behind_padding(level: Level | None, seed: int) -> Training:
    """A text of 4 to 10 words is padded to 50, and the answer is read from the state at the end, 40 steps
    after the last word.
    """
    torch.manual_seed(seed)
    clean = reviews(length=10, shortest=4)
    data = Data(_padded(clean.x), clean.y, _padded(clean.x_test), clean.y_test)
    model = Reader(at_the_end=level is not None)
    return classify(model, data, seed, optimizer=torch.optim.Adam(model.parameters(), lr=5e-3), size=32)


def _padded(tokens: Tensor) -> Tensor:
    return nn.functional.pad(tokens, (0, 40))


class BothWays(nn.Module):
    """Modules `gru` and `head`."""

    def __init__(self, *, viewed: bool) -> None:
        super().__init__()
        self.viewed = viewed
        self.gru = nn.GRU(8, 24, batch_first=True, bidirectional=True)
        self.head = nn.Linear(48, 10)

    def forward(self, x: Tensor) -> Tensor:
        _, last = self.gru(x)
        if self.viewed:
            return self.head(last.view(len(x), -1))
        return self.head(last.transpose(0, 1).flatten(1))


@register.fault(
    "state-viewed-across-the-batch",
    source="PyTorch forum; own",
    codes={"TV106"},
    where=("", "gru*", "head*"),
    remedies=("transpose(0, 1) before the view",),
)
def state_viewed_across_the_batch(level: Level | None, seed: int) -> Training:
    """The last states (2, N, H) of a bidirectional GRU become (N, 2H) by `view`, which joins two samples to
    one.
    """
    torch.manual_seed(seed)
    rows = digits()
    data = Data(rows.x.view(-1, 8, 8), rows.y, rows.x_test.view(-1, 8, 8), rows.y_test)
    model = BothWays(viewed=level is not None)
    return classify(model, data, seed, optimizer=torch.optim.Adam(model.parameters(), lr=5e-3))


class Bags(nn.Module):
    """Modules `instance`, `attention`, `head`: one label for each bag of instances."""

    def __init__(self, *, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.instance, self.attention = nn.Sequential(mlp((12, 32, 32)), nn.ReLU()), nn.Linear(32, 1)
        self.head = nn.Linear(32, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.instance(x)
        return self.head((self.attention(h).softmax(self.axis) * h).sum(1))


@register.fault(
    "attention-of-bags-over-the-batch",
    source="F35; own",
    codes={"TV106"},
    where=("", "attention*"),
    remedies=("softmax over the instances, dim=1",),
)
def attention_of_bags_over_the_batch(level: Level | None, seed: int) -> Training:
    """Attention over the instances of a bag is normalised over dimension 0, which is the batch."""
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(72)
    y = torch.arange(1500) % 2
    x = torch.randn(1500, 16, 12, generator=draw)
    x[:, 0] += 1.5 * y[:, None] * torch.randn(12, generator=draw).sign()
    data, model = split(x, y), Bags(axis=1 if level is None else 0)
    return classify(model, data, seed, optimizer=torch.optim.Adam(model.parameters(), lr=3e-3), size=16)
