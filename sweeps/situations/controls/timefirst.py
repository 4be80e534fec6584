"""Nets whose samples do not lie along the first dimension: it is time, or the words of a single sentence."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import cross_entropy, loss_on_test
from sweeps.situations.data import Data, language
from sweeps.situations.networks import Lstm
from sweeps.situations.recipes import recall, speak
from sweeps.situations.situation import register
from sweeps.situations.training import Training


def turned(model: nn.Module, seed: int, data: Data, lr: float) -> Training:
    """A language model that is given its sentences as columns, time first."""
    aside = Data(data.x, data.y, data.x_test.T, data.y_test.T)
    training = speak(model, seed, data=data, lr=lr, score=loss_on_test(aside), size=24)
    rows = training.batch
    training.batch = lambda step: tuple(t.T for t in rows(step))
    return training


@register.control("lstm-time-first", source="own; the default of nn.LSTM")
def lstm_time_first(seed: int) -> Training:
    """An LSTM language model of columns of tokens, as `nn.LSTM` takes them unless told otherwise."""
    torch.manual_seed(seed)
    model = Lstm()
    model.lstm = nn.LSTM(32, 32)
    return turned(model, seed, language(), 1e-2)


@register.control("transformer-time-first", source="own; torch's language model tutorial")
def transformer_time_first(seed: int) -> Training:
    """A transformer encoder of columns of tokens, whose positions run along dimension 0."""
    torch.manual_seed(seed)

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.head = nn.Embedding(8, 32), nn.Linear(32, 8)
            self.positions = nn.Embedding(12, 32)
            self.layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, norm_first=True)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.head(self.layer(self.tokens(tokens) + self.positions.weight[:, None]))

    return turned(Encoder(), seed, recall(), 3e-3)


class Tagger(nn.Module):
    """Modules `letters`, `word`, `sentence`, `head`: of one sentence, a matrix of words and their letters."""

    def __init__(self) -> None:
        super().__init__()
        self.letters, self.word = nn.Embedding(10, 16), nn.Conv1d(16, 32, 3, padding=1)
        self.sentence, self.head = nn.LSTM(32, 16, bidirectional=True), nn.Linear(32, 4)

    def forward(self, letters: Tensor) -> Tensor:
        words = F.relu(self.word(self.letters(letters).transpose(1, 2))).amax(2)
        return self.head(self.sentence(words)[0])


@register.control("tagger-of-one-sentence", source="own; torch's tagging tutorial with letters")
def tagger_of_one_sentence(seed: int) -> Training:
    """A tagger that is given one sentence at a time: words of five letters, whose neighbours matter."""
    torch.manual_seed(seed)

    def sentence(step: int) -> tuple[Tensor, Tensor]:
        draw = torch.Generator().manual_seed(1_000_003 * seed + step)
        length = int(torch.randint(8, 24, (), generator=draw))
        letters = torch.randint(0, 10, (length, 5), generator=draw)
        vowel = (letters < 2).any(1).long()
        return letters, 2 * vowel + vowel.roll(1) * (torch.arange(length) > 0)

    model = Tagger()
    letters, tags = sentence(-1)
    return Training(
        model=model,
        optimizers=(torch.optim.Adam(model.parameters(), lr=1e-2),),
        batch=sentence,
        loss=cross_entropy,
        score=lambda net: (net(letters).argmax(-1) != tags).float().mean().item(),
        steps=250,
    )
