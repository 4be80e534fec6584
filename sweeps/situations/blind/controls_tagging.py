"""Nets that read padded texts as a whole, tag words, and say things again."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.blind.sets import reviews
from sweeps.situations.common import classify, loss_on_test
from sweeps.situations.data import Data, split
from sweeps.situations.recipes import speak
from sweeps.situations.situation import register
from sweeps.situations.training import Training, clipped


def _encoder(width: int, depth: int, *, pre: bool) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.1, "gelu", batch_first=True, norm_first=pre)
    return nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)


class Classifier(nn.Module):
    """Modules `words`, `encoder`, `head`: post-norm, as the library has it, over padded texts."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(40, 32, padding_idx=0)
        self.encoder, self.head = _encoder(32, 2, pre=False), nn.Linear(32, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        padding = tokens == 0
        out = self.encoder(self.words(tokens), src_key_padding_mask=padding)
        there = (~padding).unsqueeze(2)
        return self.head((out * there).sum(1) / there.sum(1))


@register.control("reviews-library-encoder", source="H56; own")
def reviews_library_encoder(seed: int) -> Training:
    """Padded reviews by the library's post-norm encoder, under AdamW with a warm-up."""
    torch.manual_seed(seed)
    model = Classifier()
    adam = torch.optim.AdamW(model.parameters(), lr=1e-3)
    warm = torch.optim.lr_scheduler.LinearLR(adam, 0.05, total_iters=30)
    return classify(
        model, reviews(), seed, optimizer=adam, size=32, steps=150, scheduler=warm, iterate=clipped(1.0)
    )


class Tagger(nn.Module):
    """Modules `words`, `lstm`, `head`."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(40, 16, padding_idx=0)
        self.lstm, self.head = nn.LSTM(16, 24, batch_first=True, bidirectional=True), nn.Linear(48, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.lstm(self.words(tokens))[0])


@register.control("tags-by-both-neighbours", source="own")
def tags_by_both_neighbours(seed: int) -> Training:
    """Each word gets a tag that depends on the words beside it; padding has none."""
    torch.manual_seed(seed)
    texts = reviews()

    def tags(tokens: Tensor) -> Tensor:
        before, after = F.pad(tokens, (1, 0))[:, :-1], F.pad(tokens, (0, 1))[:, 1:]
        return (2 * (before % 2) + (after > 20).long()).masked_fill(tokens == 0, -100)

    data, model = Data(texts.x, tags(texts.x), texts.x_test, tags(texts.x_test)), Tagger()
    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    return classify(model, data, seed, optimizer=adam, size=32, score=loss_on_test(data))


class Repeater(nn.Module):
    """Modules `letters`, `encoder`, `decoder`, `head`: a GRU each, the second attends to the first."""

    def __init__(self) -> None:
        super().__init__()
        self.letters, self.head = nn.Embedding(9, 16), nn.Linear(64, 9)
        self.encoder, self.decoder = nn.GRU(16, 32, batch_first=True), nn.GRU(16, 32, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        source, target = tokens.unbind(1)
        memory, state = self.encoder(self.letters(source))
        out, _ = self.decoder(self.letters(target), state)
        found = (out @ memory.transpose(1, 2)).softmax(-1) @ memory
        return self.head(torch.cat([out, found], 2))


@register.control("said-again-in-reverse", source="own")
def said_again_in_reverse(seed: int) -> Training:
    """Eight symbols in reverse order by two GRUs with attention, under teacher forcing."""
    torch.manual_seed(seed)
    source = torch.randint(1, 9, (1500, 8), generator=torch.Generator().manual_seed(83))
    target = source.flip(1)
    data: Any = split(torch.stack([source, F.pad(target, (1, 0))[:, :-1]], 1), target)
    model = Repeater()
    adam = torch.optim.Adam(model.parameters(), lr=0.01)
    return speak(model, seed, data=data, optimizer=adam, size=64, iterate=clipped(5.0))
