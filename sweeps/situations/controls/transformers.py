"""Attention in its many forms."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from sweeps.situations.common import cross_entropy
from sweeps.situations.data import language
from sweeps.situations.loops import clipped_untold
from sweeps.situations.networks import Attention, Gpt
from sweeps.situations.recipes import speak
from sweeps.situations.situation import register
from sweeps.situations.training import Training, clipped


@register.control("post-norm-with-warm-up", source="own")
def post_norm_with_warm_up(seed: int) -> Training:
    """Norms after the sums, as at first, and the warm-up that they need."""
    torch.manual_seed(seed)
    model = Gpt(pre=False, depth=3)
    adam = torch.optim.Adam(model.parameters(), lr=2e-3)
    warmup = LambdaLR(adam, lambda step: min(1.0, (step + 1) / 60))
    return speak(model, seed, data=language(length=16), optimizer=adam, scheduler=warmup)


@register.control("clipped-all-along", source="H21")
def clipped_all_along(seed: int) -> Training:
    """A transformer under SGD whose gradient norm is clipped to 0.1, for which its learning rate
    was chosen.
    """
    torch.manual_seed(seed)
    model = Gpt()
    sgd = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)
    return speak(model, seed, data=language(length=16), optimizer=sgd, iterate=clipped(0.1), steps=300)


@register.control("clipped-at-the-start", source="H21")
def clipped_at_the_start(seed: int) -> Training:
    """A transformer under AdamW whose gradient norm is clipped to 0.5, which happens mostly at the start."""
    torch.manual_seed(seed)
    model = Gpt()
    adam = torch.optim.AdamW(model.parameters(), lr=3e-3)
    return speak(model, seed, data=language(length=16), optimizer=adam, iterate=clipped_untold(0.5))


class Rms(nn.Module):
    """Divides by the root mean square: parameter `gain`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * x * (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt()


class Gated(nn.Module):
    """A block with RMS norms and a SwiGLU: modules `norm1`, `attention`, `norm2`, `gate`, `up`, `down`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.attention, self.norm2 = Rms(width), Attention(width, 4), Rms(width)
        self.gate, self.up = (nn.Linear(width, 3 * width, bias=False) for _ in range(2))
        self.down = nn.Linear(3 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        y = self.norm2(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


@register.control("llama-like", source="own")
def llama_like(seed: int) -> Training:
    """RMS norms, gated units, weight decay on matrices alone, clipping, warm-up and cosine."""
    torch.manual_seed(seed)
    model = Gpt()
    model.blocks = nn.Sequential(Gated(32), Gated(32))
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    adam = torch.optim.AdamW(groups, lr=4e-3, betas=(0.9, 0.95))
    falls = LambdaLR(adam, lambda s: min((s + 1) / 20, 0.55 + 0.45 * torch.tensor(s * 0.0157).cos().item()))
    return speak(model, seed, data=language(length=16), optimizer=adam, scheduler=falls, iterate=clipped(1.0))


class Mixture(nn.Module):
    """Each token goes to one of four experts: modules `router`, `experts.<i>`, `head`."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.tokens, self.router, self.norm = (
            nn.Embedding(32, width),
            nn.Linear(width, 4),
            nn.LayerNorm(width),
        )
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, width)) for _ in range(4)
        )
        self.head = nn.Linear(width, 32)
        self.balance = torch.zeros(())

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens)
        shares = self.router(x).softmax(-1)
        best, chosen = shares.max(-1)
        load = F.one_hot(chosen, 4).float().flatten(0, 1).mean(0)
        self.balance = 4 * (load * shares.flatten(0, 1).mean(0)).sum()
        out = torch.zeros_like(x)
        for i, expert in enumerate(self.experts):
            out[chosen == i] = expert(x[chosen == i])
        return self.head(self.norm(x + best[..., None] * out))


@register.control("mixture-of-experts", source="own")
def mixture_of_experts(seed: int) -> Training:
    """Top-1 routing with a loss that balances the experts, each of which sees a part of the tokens."""
    torch.manual_seed(seed)
    data = language(length=16)

    def loss(model: Any, batch: Any) -> Tensor:
        return cross_entropy(model, batch) + 0.02 * model.balance

    return speak(Mixture(), seed, data=data, lr=5e-3, loss=loss)
