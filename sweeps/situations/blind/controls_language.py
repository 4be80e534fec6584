"""Texts, as people train on them every day."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.blind.sets import prose, reviews
from sweeps.situations.common import classify
from sweeps.situations.networks import Gpt
from sweeps.situations.recipes import speak, validation
from sweeps.situations.situation import register
from sweeps.situations.training import Eyes, Training, clipped


def _warm_cosine(
    optimizer: torch.optim.Optimizer, warm: int, steps: int
) -> torch.optim.lr_scheduler.LambdaLR:
    def share(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.1 + 0.45 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, share)


@register.control("letters-gpt", source="H21; own")
def letters_gpt(seed: int) -> Training:
    """A transformer of letters: AdamW with decay of matrices alone, warm-up, a cosine, clipping."""
    torch.manual_seed(seed)
    model, data = Gpt(27), prose()
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, lr=4e-3, betas=(0.9, 0.95))
    return speak(
        model,
        seed,
        data=data,
        optimizer=adam,
        steps=200,
        iterate=clipped(1.0),
        scheduler=_warm_cosine(adam, 20, 200),
        validate=validation(data),
    )


@register.control("gpt-accumulated-in-bf16", source="own")
def gpt_accumulated_in_bf16(seed: int) -> Training:
    """Two micro-batches a step under autocast to bfloat16, clipped, as in most recipes for a single card."""
    torch.manual_seed(seed)
    model = Gpt(27)

    def iterate(training: Training, step: int, eyes: Eyes) -> Tensor:
        total = torch.zeros(())
        training.optimizer.zero_grad(set_to_none=True)
        for part in range(2):
            x, y = training.batch(2 * step + part)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten()) / 2
            loss.backward()
            total += loss.detach()
        eyes.gradients_ready()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        training.optimizer.step()
        return total

    adam = torch.optim.AdamW(model.parameters(), lr=5e-3)
    return speak(model, seed, data=prose(), optimizer=adam, size=8, steps=100, iterate=iterate)


class TwoLayers(nn.Module):
    """Modules `letters`, `lstm`, `drop`, `head`."""

    def __init__(self) -> None:
        super().__init__()
        self.letters, self.head = nn.Embedding(27, 24), nn.Linear(32, 27)
        self.lstm = nn.LSTM(24, 32, num_layers=2, dropout=0.2, batch_first=True)
        self.drop = nn.Dropout(0.2)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.drop(self.lstm(self.drop(self.letters(tokens)))[0]))


@register.control("letters-lstm-dropout", source="H20; own")
def letters_lstm_dropout(seed: int) -> Training:
    """Two layers of LSTM with dropout between them, under Adam, clipped to 1, with a step schedule."""
    torch.manual_seed(seed)
    model = TwoLayers()
    adam = torch.optim.Adam(model.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.StepLR(adam, 150, 0.3)
    return speak(model, seed, data=prose(), optimizer=adam, iterate=clipped(1.0), scheduler=schedule)


class BothWays(nn.Module):
    """Modules `words`, `gru`, `head`; the mean of all states that are not padding."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(40, 16, padding_idx=0)
        self.gru = nn.GRU(16, 16, batch_first=True, bidirectional=True)
        self.head = nn.Linear(32, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        out, there = self.gru(self.words(tokens))[0], (tokens > 0).unsqueeze(2)
        return self.head((out * there).sum(1) / there.sum(1))


@register.control("reviews-gru", source="own")
def reviews_gru(seed: int) -> Training:
    """Reviews by a bidirectional GRU, averaged over the words that are there."""
    torch.manual_seed(seed)
    model, data = BothWays(), reviews()
    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    return classify(model, data, seed, optimizer=adam, size=32, validate=validation(data))


class TextCnn(nn.Module):
    """Modules `words`, `filters.<i>`, `head`; each filter tells its largest value alone."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(40, 16, padding_idx=0), nn.Linear(48, 2)
        self.filters = nn.ModuleList(nn.Conv1d(16, 16, k, padding=k // 2) for k in (1, 3, 5))

    def forward(self, tokens: Tensor) -> Tensor:
        h = self.words(tokens).transpose(1, 2)
        return self.head(torch.cat([F.relu(f(h)).amax(2) for f in self.filters], 1))


@register.control("reviews-text-cnn", source="own")
def reviews_text_cnn(seed: int) -> Training:
    """Filters of three widths over words and their maxima over time: most places get no gradient."""
    torch.manual_seed(seed)
    model = TextCnn()
    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    return classify(model, reviews(), seed, optimizer=adam, steps=300)


@register.control("reviews-bag-of-embeddings", source="own")
def reviews_bag_of_embeddings(seed: int) -> Training:
    """The mean of word embeddings and a linear layer, as in fastText, under plain SGD."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.EmbeddingBag(40, 16, padding_idx=0), nn.Linear(16, 2))
    return classify(model, reviews(), seed, optimizer=torch.optim.SGD(model.parameters(), lr=1.0), steps=300)
