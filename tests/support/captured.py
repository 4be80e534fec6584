"""Networks with something wrong in them, and trainings that a recorder watches."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import torchvitals
from torchvitals import Schedule, Vitals

SELDOM = Schedule(dense=2, every=1000)
EVERY_STEP = Schedule(dense=0, every=1)


class Log(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.log(x)  # the line of the log


class Root(nn.Module):
    """Finite, with an infinite derivative."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sqrt(x * 0) + x


class Exp(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        big = torch.exp(x.half() * 0 + 20)  # e^20 is beyond float16
        return torch.where(torch.isinf(big), big, big).float()


class Masked(nn.Module):
    """Attention with a mask of -inf, before something that is at fault."""

    def __init__(self, then: nn.Module) -> None:
        super().__init__()
        self.project, self.then = nn.Linear(8, 8), then

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(1).expand(-1, 5, -1)
        q = self.project(x)
        mask = torch.full((5, 5), -math.inf).triu(1)
        weights = torch.softmax(q @ q.mT / math.sqrt(8) + mask, -1)
        hidden = torch.ones(5, 5, dtype=torch.bool).triu(1)
        weights = weights + torch.softmax((q @ q.mT).masked_fill(hidden, -math.inf), -1)
        attended = F.scaled_dot_product_attention(q, q, q, is_causal=True)
        return self.then((weights @ q + attended).mean(1))


class AllMasked(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        scores = x.masked_fill(torch.ones_like(x, dtype=torch.bool), -math.inf)
        return x + torch.softmax(scores, -1)


class Gate(nn.Module):
    """Lets its inner module act only when it is on, as in a training that goes well until then."""

    def __init__(self, inner: nn.Module, *, on: bool) -> None:
        super().__init__()
        self.inner, self.on = inner, on

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) if self.on else x


def network(inner: nn.Module) -> nn.Sequential:
    """Two layers with dropout, and a gate between them."""
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Dropout(0.3))
    return nn.Sequential(body, Gate(inner, on=True), nn.Linear(8, 4))


def with_log() -> nn.Sequential:
    return network(Log())


def with_root() -> nn.Sequential:
    return network(Root())


def with_exp() -> nn.Sequential:
    return network(Exp())


def with_mask_and_log() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(Masked(Gate(Log(), on=True)), nn.Linear(8, 4))


def with_all_masked() -> nn.Sequential:
    return network(AllMasked())


def healthy() -> nn.Sequential:
    return network(nn.Identity())


def other() -> nn.Sequential:
    """A network whose weights have other names."""
    return nn.Sequential(nn.Sequential(nn.Linear(8, 4)))


def gates(model: nn.Module) -> list[Gate]:
    return [m for m in model.modules() if isinstance(m, Gate)]


def train(
    model: nn.Module,
    recorder: Any,
    *,
    at: int = 7,
    steps: int = 10,
    schedule: Schedule = SELDOM,
    loss_fn=F.cross_entropy,
    strict: bool = True,
    seed: int = 1,
) -> Vitals:
    """Plain steps, in which the gates open at step `at`."""
    torch.manual_seed(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with torchvitals.watch(
        model, optimizer, reporters=[], schedule=schedule, strict=strict, recorder=recorder
    ) as vitals:
        for step in range(steps):
            for gate in gates(model):
                gate.on = step >= at
            x, y = torch.randn(16, 8), torch.randint(0, 4, (16,))
            loss = loss_fn(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            vitals.step(loss)
    return vitals
