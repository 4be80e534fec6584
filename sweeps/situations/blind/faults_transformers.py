"""Transformers of the library that are masked wrongly."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.blind.sets import prose, reviews
from sweeps.situations.common import classify
from sweeps.situations.recipes import speak
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training


def encoder(width: int = 32, depth: int = 2) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)


class Reader(nn.Module):
    """Modules `words`, `places`, `encoder`, `head`; the first token, of its own, is what the head sees."""

    def __init__(self, *, inverted: bool) -> None:
        super().__init__()
        self.inverted = inverted
        self.words, self.encoder, self.head = nn.Embedding(41, 32), encoder(), nn.Linear(32, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = F.pad(tokens, (1, 0), value=40)
        mask = tokens != 0 if self.inverted else tokens == 0
        return self.head(self.encoder(self.words(tokens), src_key_padding_mask=mask)[:, 0])


@register.fault(
    "padding-mask-inverted",
    source="F109; PyTorch forum",
    codes={"TV103", "TV403"},
    where=("encoder*",),
    remedies=("True is what must not be seen",),
)
def padding_mask_inverted(level: Level | None, seed: int) -> Training:
    """`src_key_padding_mask` is True for words, so that the first token sees nothing but padding."""
    torch.manual_seed(seed)
    data = reviews()
    model = Reader(inverted=level is not None)
    adam = torch.optim.AdamW(model.parameters(), lr=2e-3)
    return classify(model, data, seed, optimizer=adam, size=32)


class Speaker(nn.Module):
    """Modules `letters`, `places`, `encoder`, `head`: a decoder out of a masked encoder."""

    def __init__(self, *, by_ones: bool) -> None:
        super().__init__()
        self.by_ones = by_ones
        self.letters, self.places = nn.Embedding(27, 32), nn.Embedding(32, 32)
        self.encoder, self.head = encoder(), nn.Linear(32, 27)

    def forward(self, tokens: Tensor) -> Tensor:
        length = tokens.shape[1]
        later = torch.ones(length, length).triu(1)
        mask = later if self.by_ones else later.masked_fill(later > 0, float("-inf"))
        return self.head(self.encoder(self.letters(tokens) + self.places(torch.arange(length)), mask=mask))


@register.fault(
    "mask-of-ones-added",
    source="F110; own",
    codes={"TV406"},
    onset=(0, 199),
    remedies=("a mask of minus infinity, or of booleans",),
)
def mask_of_ones_added(level: Level | None, seed: int) -> Training:
    """A mask of ones and zeros is added to the scores, which hides nothing; the validation generates from
    prefixes, where there is no future to be seen.
    """
    torch.manual_seed(seed)
    data, model = prose(), Speaker(by_ones=level is not None)

    def of_prefixes(model: nn.Module) -> float:
        model.eval()
        with torch.no_grad():
            parts = [
                F.cross_entropy(model(data.x_test[:, :t])[:, -1], data.y_test[:, t - 1]) for t in (6, 16, 28)
            ]
        return torch.stack(parts).mean().item()

    adam = torch.optim.AdamW(model.parameters(), lr=3e-3)
    return speak(model, seed, data=data, optimizer=adam, score=of_prefixes, validate=of_prefixes)
