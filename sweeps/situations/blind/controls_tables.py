"""Tables and ratings, as people train on them every day."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.blind.sets import friedman, wine
from sweeps.situations.common import classify, loss_on_test, regress
from sweeps.situations.data import cancer, split
from sweeps.situations.networks import mlp
from sweeps.situations.recipes import validation
from sweeps.situations.situation import register
from sweeps.situations.training import Training


@register.control("wine-mlp", source="own")
def wine_mlp(seed: int) -> Training:
    """Three wines by 13 measurements and a small net, known almost at once."""
    torch.manual_seed(seed)
    model = mlp((13, 16, 3), init=None)
    return classify(model, wine(), seed, optimizer=torch.optim.Adam(model.parameters(), lr=0.01), size=16)


@register.control("tabular-one-cycle", source="own")
def tabular_one_cycle(seed: int) -> Training:
    """Batch norms, dropout, AdamW and one cycle: how a table is trained on these days."""
    torch.manual_seed(seed)
    model, data = nn.Sequential(), friedman()
    for fan_in, width in ((10, 96), (96, 48)):
        model.append(nn.Linear(fan_in, width)).append(nn.BatchNorm1d(width))
        model.append(nn.ReLU()).append(nn.Dropout(0.1))
    model.append(nn.Linear(48, 1))
    adam = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    cycle = torch.optim.lr_scheduler.OneCycleLR(adam, 0.02, total_steps=301)
    training = regress(model, data, seed, optimizer=adam, steps=300, scheduler=cycle)
    training.validate = validation(data, lambda m, b: F.mse_loss(m(b[0]), b[1]))
    return training


@register.control("tumours-by-rmsprop", source="own")
def tumours_by_rmsprop(seed: int) -> Training:
    """One logit and binary cross-entropy on 30 standardised features, under RMSprop with weight decay."""
    torch.manual_seed(seed)
    model, data = mlp((30, 24, 12, 1), act=nn.ReLU), cancer()

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return F.binary_cross_entropy_with_logits(model(batch[0])[:, 0], batch[1].float())

    rms = torch.optim.RMSprop(model.parameters(), lr=1e-3, weight_decay=1e-4)
    return classify(
        model,
        data,
        seed,
        optimizer=rms,
        loss=loss,
        score=loss_on_test(data, loss),
        size=32,
        validate=validation(data, loss),
    )


class Ratings(nn.Module):
    """Modules `users`, `items`, `user_bias`, `item_bias`; the mean of all ratings is a buffer."""

    def __init__(self, mean: float) -> None:
        super().__init__()
        self.users, self.items = nn.Embedding(60, 8), nn.Embedding(50, 8)
        self.user_bias, self.item_bias = nn.Embedding(60, 1), nn.Embedding(50, 1)
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=0.1)
        for table in (self.user_bias, self.item_bias):
            nn.init.zeros_(table.weight)
        self.register_buffer("mean", torch.tensor(mean))

    def forward(self, pairs: Tensor) -> Tensor:
        user, item = pairs.unbind(1)
        liking = (self.users(user) * self.items(item)).sum(1, keepdim=True)
        return self.get_buffer("mean") + liking + self.user_bias(user) + self.item_bias(item)


@register.control("ratings-factorised", source="own")
def ratings_factorised(seed: int) -> Training:
    """Stars of 1 to 5 by factors and biases of users and items, which begin small."""
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(84)
    pairs = torch.cartesian_prod(torch.arange(60), torch.arange(50))
    users, items = torch.randn(60, 3, generator=draw), torch.randn(50, 3, generator=draw)
    like = (users[pairs[:, 0]] * items[pairs[:, 1]]).sum(1, keepdim=True) / 1.7 + 0.5 * items[pairs[:, 1], :1]
    stars = (3.4 + like + 0.3 * torch.randn(like.shape, generator=draw)).clamp(1, 5)
    model = Ratings(3.4)
    adam = torch.optim.Adam(model.parameters(), lr=0.02, weight_decay=1e-5)
    return regress(model, split(pairs, stars), seed, optimizer=adam, size=256, steps=300)
