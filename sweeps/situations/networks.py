"""Small networks, spelled as users spell them, with names that a truth can point to."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def mlp(
    sizes: tuple[int, ...],
    *,
    act: Callable[[], nn.Module] = nn.ReLU,
    init: Callable[[Tensor], Any] | None = nn.init.kaiming_normal_,
    norm: Callable[[int], nn.Module] | None = None,
    bias: bool = True,
) -> nn.Sequential:
    """Modules `hidden.<i>.linear`, `hidden.<i>.norm` (if any), `hidden.<i>.act` and `head`.

    `init` fills the hidden weights (biases become 0) and leaves the head to torch; None leaves all to torch.
    """
    net, hidden = nn.Sequential(), nn.Sequential()
    for i, (fan_in, width) in enumerate(pairwise(sizes[:-1])):
        block = nn.Sequential()
        linear = nn.Linear(fan_in, width, bias=bias)
        if init is not None:
            init(linear.weight)
            if bias:
                nn.init.zeros_(linear.bias)
        block.add_module("linear", linear)
        if norm is not None:
            block.add_module("norm", norm(width))
        block.add_module("act", act())
        hidden.add_module(str(i), block)
    net.add_module("hidden", hidden)
    net.add_module("head", nn.Linear(sizes[-2], sizes[-1]))
    return net


def linears(net: nn.Module) -> list[nn.Linear]:
    """All its linear layers, in the order of registration."""
    return [m for m in net.modules() if isinstance(m, nn.Linear)]


class Cnn(nn.Module):
    """Modules `conv1` to `conv3`, `norm1` to `norm3` if any, and `head`, for images of 8 by 8 grey pixels."""

    def __init__(self, width: int = 16, classes: int = 10, *, norm: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, stride=2)
        self.conv3 = nn.Conv2d(width, 2 * width, 3, padding=1, stride=2)
        self.norm1 = nn.BatchNorm2d(width) if norm else nn.Identity()
        self.norm2 = nn.BatchNorm2d(width) if norm else nn.Identity()
        self.norm3 = nn.BatchNorm2d(2 * width) if norm else nn.Identity()
        self.head = nn.Linear(2 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm1(self.conv1(x)))
        x = F.relu(self.norm2(self.conv2(x)))
        x = F.relu(self.norm3(self.conv3(x)))
        return self.head(x.mean((2, 3)))


class Attention(nn.Module):
    """Causal self-attention by hand: modules `query`, `key`, `value`, `out`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, t, d = x.shape
        q, k, v = (
            part(x).view(n, t, self.heads, d // self.heads).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        scores = q @ k.transpose(-2, -1) / (d // self.heads) ** 0.5
        future = torch.ones(t, t, dtype=torch.bool, device=x.device).triu(1)
        mixed = scores.masked_fill(future, float("-inf")).softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(n, t, d))


class Block(nn.Module):
    """A transformer block, normalised before its branches (`pre`) or after their sums."""

    def __init__(self, width: int, heads: int, *, pre: bool = True) -> None:
        super().__init__()
        self.pre = pre
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        if self.pre:
            x = x + self.attention(self.norm1(x))
            return x + self.down(F.gelu(self.up(self.norm2(x))))
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.down(F.gelu(self.up(x))))


class Gpt(nn.Module):
    """Modules `tokens`, `positions`, `blocks.<i>`, `norm`, `head`."""

    def __init__(
        self,
        vocabulary: int = 32,
        length: int = 32,
        *,
        width: int = 32,
        depth: int = 2,
        heads: int = 4,
        pre: bool = True,
    ) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.blocks = nn.Sequential(*(Block(width, heads, pre=pre) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary)
        nn.init.normal_(self.tokens.weight, std=0.02)
        nn.init.normal_(self.positions.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        place = torch.arange(tokens.shape[1], device=tokens.device)
        return self.head(self.norm(self.blocks(self.tokens(tokens) + self.positions(place))))


class Lstm(nn.Module):
    """A language model: modules `tokens`, `lstm`, `head`."""

    def __init__(self, vocabulary: int = 32, width: int = 32) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.lstm(self.tokens(tokens))[0])
