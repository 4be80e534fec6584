"""Mixtures of experts, some of whom are never asked."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify
from sweeps.situations.data import digits
from sweeps.situations.networks import mlp
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training


class Experts(nn.Module):
    """Four small experts, of which a router picks one for each row."""

    def __init__(self, favoured: float) -> None:
        super().__init__()
        self.router = nn.Linear(64, 4)
        self.experts = nn.ModuleList(mlp((64, 3, 10)) for _ in range(4))
        with torch.no_grad():
            self.router.bias[0] += favoured
        self.balance = torch.zeros(())

    def forward(self, x: Tensor) -> Tensor:
        share = self.router(x).softmax(-1)
        weight, choice = share.max(-1, keepdim=True)
        used = F.one_hot(choice.squeeze(-1), 4).float().mean(0)
        self.balance = 4 * (used * share.mean(0)).sum()
        out = x.new_zeros(len(x), 10)
        for number, expert in enumerate(self.experts):
            rows = (choice.squeeze(-1) == number).nonzero().squeeze(-1)
            if len(rows):
                out = out.index_add(0, rows, weight[rows] * expert(x[rows]))
        return out


@register.fault(
    "router-collapses",
    source="F103",
    codes={"TV204", "TV101"},
    where=("experts.*", "router"),
    onset=(0, 60),
    remedies=("a loss that balances the experts",),
)
def router_collapses(level: Level | None, seed: int) -> Training:
    """A mixture of experts without a balancing loss sends all rows to one expert, and the others starve."""
    torch.manual_seed(seed)
    model = Experts(favoured=0.0 if level is None else 6.0)

    def loss(net: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        value = F.cross_entropy(net(batch[0]), batch[1])
        return value + 0.1 * model.balance if level is None else value

    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    return classify(model, digits(), seed, optimizer=optimizer, loss=loss, steps=300)
