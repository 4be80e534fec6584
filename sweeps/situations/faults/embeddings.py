"""Transformers whose embeddings of tokens or positions are spoilt."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.data import Data, language
from sweeps.situations.networks import Gpt
from sweeps.situations.recipes import recall, speak, validation
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training

TWO = (Level.BLATANT, Level.MODERATE)


class Placed(Gpt):
    """A Gpt whose positions are told by a table; None leaves them out."""

    def __init__(self, places: Tensor | None) -> None:
        super().__init__(8, 12, depth=1)
        self.places = places

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens)
        if self.places is not None:
            x = x + self.positions(self.places)
        return self.head(self.norm(self.blocks(x)))


@register.fault(
    "positions-omitted", source="F119", codes={"TV204"}, where=("positions",), remedies=("add the positions",)
)
def positions_omitted(level: Level | None, seed: int) -> Training:
    """The embedding of positions is made, but never added: the order of tokens is unknown."""
    torch.manual_seed(seed)
    return speak(Placed(torch.arange(12) if level is None else None), seed, data=recall())


@register.fault(
    "positions-truncated",
    source="F121",
    codes={"TV403"},
    where=("positions", ""),
    onset=(0, 199),
    remedies=("as many positions as places",),
)
def positions_truncated(level: Level | None, seed: int) -> Training:
    """All places share one position, as an index that is clamped to a table far too short."""
    torch.manual_seed(seed)
    places = torch.arange(12)
    return speak(Placed(places if level is None else places.clamp_max(0)), seed, data=recall())


class Shifted(Placed):
    """Positions that begin anywhere in training and at 0 in evaluation."""

    def forward(self, tokens: Tensor) -> Tensor:
        assert self.places is not None
        shift = int(torch.randint(0, 12, ())) if self.training else 0
        x = self.tokens(tokens) + self.positions((self.places + shift) % 12)
        return self.head(self.norm(self.blocks(x)))


@register.fault(
    "positions-shifted",
    source="F120",
    codes={"TV403"},
    where=("positions", ""),
    onset=(0, 199),
    remedies=("count positions from 0",),
)
def positions_shifted(level: Level | None, seed: int) -> Training:
    """Positions go round from a place that changes with each batch, as with a counter that is not reset."""
    torch.manual_seed(seed)
    kind = Placed if level is None else Shifted
    return speak(kind(torch.arange(12)), seed, data=recall(), validate=validation(recall()))


class Partial(nn.Embedding):
    """An embedding of which a part is 0 for ever: entries where `kept` is 0."""

    def __init__(self, old: nn.Embedding, kept: Tensor) -> None:
        super().__init__(old.num_embeddings, old.embedding_dim)
        self.kept = kept

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's own name
        return F.embedding(input, self.weight * self.kept)


@register.fault(
    "embedding-rows-zeroed",
    source="F122",
    codes={"TV204", "TV301"},
    where=("tokens",),
    onset=(0, 199),
    remedies=("embed every token",),
    levels=tuple(Level),
)
def embedding_rows_zeroed(level: Level | None, seed: int) -> Training:
    """The rows of 90 % (moderate, subtle: 50 %, 10 %) of the tokens are 0 for ever."""
    torch.manual_seed(seed)
    model = Gpt()
    lost = {None: 0, Level.BLATANT: 29, Level.MODERATE: 16, Level.SUBTLE: 4}[level]
    model.tokens = Partial(model.tokens, (torch.arange(32) >= lost).float().unsqueeze(1))
    return speak(model, seed)


@register.fault(
    "embedding-dims-zeroed",
    source="F124",
    codes={"TV101", "TV204"},
    where=("tokens",),
    onset=(0, 199),
    remedies=("use all dimensions",),
)
def embedding_dims_zeroed(level: Level | None, seed: int) -> Training:
    """All but one of the 32 dimensions of the token embedding are 0 for ever."""
    torch.manual_seed(seed)
    model = Gpt()
    model.tokens = Partial(model.tokens, torch.cat([torch.ones(1), torch.full((31,), float(level is None))]))
    return speak(model, seed)


@register.fault(
    "embedding-rows-swapped",
    source="F123",
    codes={"TV406"},
    where=("tokens", ""),
    onset=(0, 150),
    remedies=("one vocabulary for both",),
    levels=TWO,
)
def embedding_rows_swapped(level: Level | None, seed: int) -> Training:
    """The vocabulary was built again for the validation: all its tokens (moderate: a quarter) differ."""
    torch.manual_seed(seed)
    data = language()
    swapped = {None: 0, Level.BLATANT: 32, Level.MODERATE: 8}[level]
    other = torch.cat([torch.arange(swapped).roll(1), torch.arange(swapped, 32)])
    elsewhere = Data(data.x, data.y, other[data.x_test], data.y_test)
    return speak(Gpt(), seed, data=elsewhere, validate=validation(elsewhere))
