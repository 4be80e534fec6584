"""A decoder as language models are: causal attention, norms before each branch, a head tied to the
embedding.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CausalAttention(nn.Module):
    """Every position sees those before it: (N, T, D) -> (N, T, D)."""

    def __init__(self, width: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x_NTD: Tensor) -> Tensor:
        q_NHTK, k_NHTK, v_NHTK = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.project(x_NTD).chunk(3, -1)
        )
        mixed_NHTK = F.scaled_dot_product_attention(q_NHTK, k_NHTK, v_NHTK, is_causal=True)
        return self.output(mixed_NHTK.transpose(1, 2).flatten(-2))


class Block(nn.Module):
    def __init__(self, width: int, *, heads: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = CausalAttention(width, heads=heads)
        self.feed_norm = nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x_NTD: Tensor) -> Tensor:
        x_NTD = x_NTD + self.attention(self.attention_norm(x_NTD))
        return x_NTD + self.feed(self.feed_norm(x_NTD))


class GPT(nn.Module):
    """Token ids (N, T) -> logits of the next token (N, T, vocab)."""

    def __init__(self, vocab: int, *, steps: int, depth: int, width: int, heads: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocab, width)
        self.positions = nn.Parameter(torch.empty(steps, width))
        self.blocks = nn.ModuleList(Block(width, heads=heads) for _ in range(depth))
        self.final_norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocab, bias=False)
        self.head.weight = self.embed.weight
        nn.init.normal_(self.positions, std=0.02)
        nn.init.normal_(self.embed.weight, std=0.02)
        for block in self.blocks:
            for name, p in block.named_parameters():
                if p.ndim == 2:
                    last = name in ("attention.output.weight", "feed.2.weight")
                    nn.init.normal_(p, std=0.02 / (2 * depth) ** 0.5 if last else 0.02)

    def forward(self, tokens_NT: Tensor) -> Tensor:
        h_NTD = self.embed(tokens_NT) + self.positions[: tokens_NT.shape[1]]
        for block in self.blocks:
            h_NTD = block(h_NTD)
        return self.head(self.final_norm(h_NTD))
