"""Small additions to a frozen net."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify
from sweeps.situations.data import Data, digits
from sweeps.situations.networks import linears, mlp
from sweeps.situations.situation import register
from sweeps.situations.training import Training, run


def _shifted_expert(seed: int) -> nn.Sequential:
    """An MLP that knows digits one pixel to the right of where they are."""
    data, model = digits(), mlp((64, 64, 64, 10))
    moved = Data(data.x.view(-1, 8, 8).roll(1, 2).flatten(1), data.y, data.x_test, data.y_test)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return F.cross_entropy(model(batch[0]), batch[1], label_smoothing=0.2)

    run(classify(model, moved, seed + 100, lr=0.05, loss=loss, steps=100))
    return model


class LowRank(nn.Module):
    """A frozen layer and an addition of rank 4: parameters `down` (random) and `up` (0)."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(4, linear.in_features) / linear.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(linear.out_features, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + 2 * x @ self.down.T @ self.up.T


@register.control("lora", source="H10, H13")
def lora(seed: int) -> Training:
    """Additions of low rank to a frozen net that knew shifted digits; at first `down` gets no gradient."""
    torch.manual_seed(seed)
    data, base = digits(), _shifted_expert(seed)
    model = nn.Sequential()
    for i, linear in enumerate(linears(base)):
        model.add_module(f"layer{i}", LowRank(linear))
        if i < 2:
            model.add_module(f"act{i}", nn.ReLU())
    learnt = [p for p in model.parameters() if p.requires_grad]
    return classify(model, data, seed, optimizer=torch.optim.Adam(learnt, lr=1e-2), steps=300)


@register.control("prompt-tuning", source="own")
def prompt_tuning(seed: int) -> Training:
    """A frozen net that knows shifted digits; only a layer before it is learnt, from the identity on."""
    torch.manual_seed(seed)
    data, base = digits(), _shifted_expert(seed)
    entrance = nn.Linear(64, 64)
    nn.init.eye_(entrance.weight)
    model: Any = nn.Sequential(entrance, base.requires_grad_(False))
    return classify(model, data, seed, optimizer=torch.optim.Adam(entrance.parameters(), lr=1e-2), steps=300)
