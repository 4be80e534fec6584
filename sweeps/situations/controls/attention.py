"""Attention by the modules of the library."""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify
from sweeps.situations.data import Data, images, language, split
from sweeps.situations.recipes import speak
from sweeps.situations.situation import register
from sweeps.situations.training import Training


class Encoder(nn.Module):
    """The library's encoder as a causal language model: modules `tokens`, `places`, `encoder`, `head`."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(32, 32), nn.Embedding(16, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.1, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, 32)

    def forward(self, tokens: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1])
        return self.head(self.encoder(self.tokens(tokens) + self.places.weight, mask=mask, is_causal=True))


@register.control("library-encoder", source="H57")
def library_encoder(seed: int) -> Training:
    """`nn.TransformerEncoder` with dropout as a language model."""
    torch.manual_seed(seed)
    return speak(Encoder(), seed, data=language(length=16), lr=3e-3)


@cache
def _counts() -> Data:
    """6 to 20 of the tokens 0 to 3, then 4 for padding: which is the most frequent, the lowest of equals?"""
    draw = torch.Generator().manual_seed(20)
    biased = torch.randint(0, 4, (1024, 1), generator=draw)
    tokens = torch.randint(0, 4, (1024, 20), generator=draw)
    tokens = torch.where(torch.rand(1024, 20, generator=draw) < 0.3, biased, tokens)
    beyond = torch.arange(20) >= torch.randint(6, 21, (1024, 1), generator=draw)
    counts = (F.one_hot(tokens, 4) * (~beyond)[..., None]).sum(1)
    return split(tokens.masked_fill(beyond, 4), counts.argmax(-1))


class Padded(nn.Module):
    """Modules `tokens`, `encoder`, `head`; the mean is over what is no padding."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(5, 32, padding_idx=4)
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(32, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        padding = tokens == 4
        out = self.encoder(self.tokens(tokens), src_key_padding_mask=padding)
        kept = (~padding).float().unsqueeze(-1)
        return self.head((out * kept).sum(1) / kept.sum(1))


@register.control("padded-encoder", source="H56")
def padded_encoder(seed: int) -> Training:
    """Sequences of many lengths under a padding mask: some places are padding in most rows."""
    torch.manual_seed(seed)
    model = Padded()
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return classify(model, _counts(), seed, optimizer=adam, size=32, steps=300)


class Copier(nn.Module):
    """The library's encoder and decoder: modules `tokens`, `places`, `transformer`, `head`."""

    def __init__(self, length: int = 6) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(9, 32), nn.Embedding(length, 32)
        self.transformer = nn.Transformer(32, 4, 1, 1, 64, dropout=0.0, batch_first=True)
        self.head = nn.Linear(32, 8)

    def forward(self, tokens: Tensor) -> Tensor:
        source, given = tokens.chunk(2, 1)
        mask = nn.Transformer.generate_square_subsequent_mask(given.shape[1])
        place = self.places.weight
        out = self.transformer(self.tokens(source) + place, self.tokens(given) + place, tgt_mask=mask)
        return self.head(out)


@register.control("library-transformer", source="own")
def library_transformer(seed: int) -> Training:
    """`nn.Transformer` says six symbols again in reverse order."""
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(21)
    source = torch.randint(0, 8, (1500, 6), generator=draw)
    wanted = source.flip(1)
    given = torch.cat([torch.full((1500, 1), 8), wanted[:, :-1]], 1)
    data = split(torch.cat([source, given], 1), wanted)
    return speak(Copier(), seed, data=data, lr=5e-3, size=32, steps=250)


class Patches(nn.Module):
    """A vision transformer on patches of 2 by 2: modules `embed`, `token`, `places`, `encoder`, `norm`,
    `head`.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, width, 2, stride=2)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.places = nn.Parameter(0.02 * torch.randn(1, 17, width))
        layer = nn.TransformerEncoderLayer(width, 4, 64, 0.0, F.gelu, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), patches], 1) + self.places
        return self.head(self.norm(self.encoder(x)[:, 0]))


@register.control("vision-transformer", source="own")
def vision_transformer(seed: int) -> Training:
    """A vision transformer whose class token begins at 0, as its authors' did."""
    torch.manual_seed(seed)
    model = Patches()
    adam = torch.optim.AdamW(model.parameters(), lr=3e-3)
    return classify(model, images(), seed, optimizer=adam, size=32, steps=300)


class Lookup(nn.Module):
    """Finds a key among pairs by the library's attention: modules `keys`, `values`, `attention`, `head`."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.keys, self.values = nn.Embedding(16, width), nn.Embedding(8, width)
        self.attention = nn.MultiheadAttention(width, 1, batch_first=True)
        self.head = nn.Linear(width, 8)

    def forward(self, x: Tensor) -> Tensor:
        keys, values = self.keys(x[:, :8]), self.values(x[:, 8:16])
        found, _ = self.attention(self.keys(x[:, 16:]), keys, values, need_weights=False)
        return self.head(found[:, 0])


@register.control("one-hot-attention", source="H59")
def one_hot_attention(seed: int) -> Training:
    """Attention that has to look up one of eight keys: trained, it is one-hot, as in induction heads."""
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(22)
    keys = torch.rand(2000, 16, generator=draw).argsort(1)[:, :8]
    values, asked = (torch.randint(0, 8, size, generator=draw) for size in ((2000, 8), (2000, 1)))
    data = split(torch.cat([keys, values, keys.gather(1, asked)], 1), values.gather(1, asked)[:, 0])
    model = Lookup()
    adam = torch.optim.Adam(model.parameters(), lr=1e-2)
    return classify(model, data, seed, optimizer=adam, steps=300)
