"""Without this file the difference between norms before and after each branch could not be put to a test."""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.activations import ActivationFactory
from models.errors import invalid, require_choice, require_count, require_share
from models.networks.shapes import as_sequence, require_out_features, sequence_shape

NORM_PLACES = ("pre", "post")


class Attention(nn.Module):
    """Multi-head self-attention over all positions, each projection a module: (N, T, D) -> (N, T, D)."""

    def __init__(self, width: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(self, x_NTD: Tensor) -> Tensor:
        q_NHTK, k_NHTK, v_NHTK = (
            project(x_NTD).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )
        mixed_NHTK = F.scaled_dot_product_attention(q_NHTK, k_NHTK, v_NHTK)
        return self.output(mixed_NHTK.transpose(1, 2).flatten(-2))


class Block(nn.Module):
    """Attention and feed-forward branch, each with a residual: (N, T, D) -> (N, T, D).

    "pre" computes x + branch(norm(x)), "post" norm(x + branch(x)) as in arXiv:1706.03762; arXiv:2002.04745
    explains why "post" needs a warm-up.
    """

    def __init__(
        self, width: int, *, heads: int, norm: str, activation: ActivationFactory, dropout: float
    ) -> None:
        super().__init__()
        self.pre = norm == "pre"
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads=heads)
        self.feed_norm = nn.LayerNorm(width)
        self.feed = nn.Sequential(
            OrderedDict(
                expand=nn.Linear(width, 4 * width), act=activation(), contract=nn.Linear(4 * width, width)
            )
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_NTD: Tensor) -> Tensor:
        for norm, branch in ((self.attention_norm, self.attention), (self.feed_norm, self.feed)):
            if self.pre:
                x_NTD = x_NTD + self.dropout(branch(norm(x_NTD)))
            else:
                x_NTD = norm(x_NTD + self.dropout(branch(x_NTD)))
        return x_NTD


class Transformer(nn.Module):
    """`depth` encoder blocks of `width` numbers per position, learned positions, a linear layer.

    Token ids (N, steps), numbers (N, steps, features) or images, row by row -> (N, out_features) read at the
    last step, or (N, steps, out_features) with `per_position`. Each block holds two branches, so the residual
    stream is added to 2 * depth times. Raises ValueError for sizes, norms, shares or shapes that cannot be
    used.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        *,
        out_features: int,
        activation: ActivationFactory,
        vocab_size: int | None = None,
        per_position: bool = False,
        depth: int = 2,
        width: int = 64,
        heads: int = 4,
        norm: str = "pre",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        _require_sizes(out_features, depth=depth, width=width, heads=heads)
        require_choice("norm", value=norm, choices=NORM_PLACES)
        require_share("dropout", value=dropout)
        steps, features = sequence_shape(in_shape, vocab_size=vocab_size)
        self.per_position = per_position
        self.embed = nn.Linear(features, width) if vocab_size is None else nn.Embedding(vocab_size, width)
        self.positions = nn.Parameter(0.02 * torch.randn(steps, width))
        self.blocks = nn.ModuleList(
            Block(width, heads=heads, norm=norm, activation=activation, dropout=dropout) for _ in range(depth)
        )
        self.final_norm = nn.LayerNorm(width) if norm == "pre" else None
        self.head = nn.Linear(width, out_features)

    def forward(self, x: Tensor) -> Tensor:
        h_NTD = self.embed(as_sequence(x)) + self.positions
        for block in self.blocks:
            h_NTD = block(h_NTD)
        h = h_NTD if self.per_position else h_NTD[:, -1]
        return self.head(h if self.final_norm is None else self.final_norm(h))


def _require_sizes(out_features: int, *, depth: int, width: int, heads: int) -> None:
    require_out_features(out_features)
    require_count("depth", value=depth, minimum=1)
    require_count("width", value=width, minimum=1)
    require_count("heads", value=heads, minimum=1)
    if width % heads:
        raise invalid("heads", value=heads, choices=f"a divisor of the width {width}")
