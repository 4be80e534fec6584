"""Objectives whose parts are out of proportion, or of which a part is missing."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify
from sweeps.situations.data import Data, digits, split
from sweeps.situations.networks import mlp
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Eyes, Training

LEVELS = (Level.BLATANT, Level.MODERATE)


@register.fault(
    "positive-weight-of-all-rows",
    source="F38; own",
    codes={"TV405", "TV403", "TV404"},
    remedies=("pos_weight = negatives / positives",),
    levels=LEVELS,
)
def positive_weight_of_all_rows(level: Level | None, seed: int) -> Training:
    """`pos_weight` of a logit is the number of rows (moderate: of negatives), not negatives by positives."""
    torch.manual_seed(seed)
    rows = digits()
    data = Data(rows.x, (rows.y == 8).long(), rows.x_test, (rows.y_test == 8).long())
    weight = {None: 9.0, Level.BLATANT: 12_570.0, Level.MODERATE: 1_130.0}[level]

    def loss(model: nn.Module, batch: Any) -> Tensor:
        out = model(batch[0])[:, 0]
        return F.binary_cross_entropy_with_logits(out, batch[1].float(), pos_weight=torch.tensor(weight))

    def score(model: nn.Module) -> float:
        return ((model(data.x_test)[:, 0] > 0) != (data.y_test > 0)).float().mean().item()

    model = mlp((64, 32, 1))
    adam = torch.optim.Adam(model.parameters(), lr=2e-3)
    return classify(model, data, seed, optimizer=adam, loss=loss, score=score)


def _ctc(model: nn.Module, batch: Any, *, of_logits: bool) -> Tensor:
    x, y = batch
    out = model(x).transpose(0, 1)
    lengths = torch.full((len(x),), x.shape[1]), torch.full((len(x),), y.shape[1])
    return F.ctc_loss(out if of_logits else out.log_softmax(-1), y, *lengths)


@register.fault(
    "ctc-of-logits",
    source="PyTorch forum; own",
    codes={"TV405"},
    remedies=("log_softmax before ctc_loss",),
)
def ctc_of_logits(level: Level | None, seed: int) -> Training:
    """`ctc_loss` gets logits where it wants logarithms of probabilities, and falls below 0."""
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(52)
    y = torch.randint(1, 6, (900, 3), generator=draw)
    looks = torch.randn(6, 10, generator=draw)
    x = looks[y].repeat_interleave(4, 1) + 0.5 * torch.randn(900, 12, 10, generator=draw)
    x[:, [0, 4, 8]] = 0.5 * torch.randn(900, 3, 10, generator=draw)
    data, model = split(x, y), nn.Sequential(mlp((10, 48, 48)), nn.ReLU(), nn.Linear(48, 6))
    return classify(
        model,
        data,
        seed,
        optimizer=torch.optim.Adam(model.parameters(), lr=5e-3),
        loss=lambda model, batch: _ctc(model, batch, of_logits=level is not None),
        score=lambda model: _ctc(model, (data.x_test, data.y_test), of_logits=False).item(),
        size=32,
    )


@register.fault(
    "views-without-spread",
    source="own",
    codes={"TV103"},
    where=("encoder*",),
    onset=(0, 150),
    remedies=("the variance term", "negatives", "a stopped gradient and a predictor"),
)
def views_without_spread(level: Level | None, seed: int) -> Training:
    """Two noisy views are to have equal embeddings, and the term that keeps them apart from others is left
    out: all embeddings become one.
    """
    torch.manual_seed(seed)
    data, model = digits(), nn.Sequential()
    model.add_module("encoder", mlp((64, 64, 16)))

    def loss(model: nn.Module, batch: Any) -> Tensor:
        one, two = (model(batch[0] + 0.5 * torch.randn_like(batch[0])) for _ in range(2))
        alike = F.mse_loss(one, two)
        if level is not None:
            return alike
        spread = sum(F.relu(1 - (z.var(0) + 1e-4).sqrt()).mean() for z in (one, two))
        overlap = sum((torch.cov(z.T).fill_diagonal_(0) ** 2).sum() / 16 for z in (one, two))
        return alike + spread + 0.05 * overlap

    def score(model: nn.Module) -> float:
        known, asked = model(data.x), model(data.x_test)
        spread = torch.cdist(asked, asked).mean() / asked.norm(dim=1).mean()
        wrong = data.y[torch.cdist(asked, known).argmin(1)] != data.y_test
        return wrong.float().mean().item() - spread.item()

    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    return classify(model, data, seed, optimizer=adam, loss=loss, score=score, size=128, steps=300)


class ActorCritic(nn.Module):
    """Modules `trunk`, `actor`, `critic`."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(mlp((64, 64, 64)), nn.ReLU())
        self.actor, self.critic = nn.Linear(64, 10), nn.Linear(64, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.actor(self.trunk(x))


@register.fault(
    "rewards-in-thousands",
    source="own",
    codes={"TV502", "TV302", "TV404"},
    onset=(0, 20),
    remedies=("scale rewards",),
    levels=LEVELS,
)
def rewards_in_thousands(level: Level | None, seed: int) -> Training:
    """Rewards of up to 10,000 (moderate: 500) for an actor and a critic with a common trunk, whose every step
    they blow up.
    """
    torch.manual_seed(seed)
    model = ActorCritic()
    unit = {None: 1.0, Level.BLATANT: 10_000.0, Level.MODERATE: 500.0}[level]

    def iterate(training: Training, step: int, _eyes: Eyes) -> Tensor:
        x, y = training.batch(step)
        h = model.trunk(x)
        policy = torch.distributions.Categorical(logits=model.actor(h))
        action, value = policy.sample(), model.critic(h)[:, 0]
        reward = unit * (action == y).float()
        gain = (reward - value).detach()
        loss = -(policy.log_prob(action) * gain).mean() + 0.5 * F.mse_loss(value, reward)
        loss = loss - 0.01 * policy.entropy().mean()
        training.optimizer.zero_grad()
        loss.backward()
        training.optimizer.step()
        return loss

    adam = torch.optim.Adam(model.parameters(), lr=2e-3)
    return classify(model, digits(), seed, optimizer=adam, iterate=iterate, size=128, steps=300)
