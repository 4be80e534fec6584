"""Learning from rewards: losses that are noisy, negative, and fall for no reason that counts."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify
from sweeps.situations.data import digits
from sweeps.situations.loops import follow
from sweeps.situations.networks import mlp
from sweeps.situations.situation import register
from sweeps.situations.training import Eyes, Training

CELLS = 8


@register.control("reinforce-bandit", source="H35")
def reinforce_bandit(seed: int) -> Training:
    """A contextual bandit: name the digit, get 1 if right, against a moving baseline."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 10))
    baseline = torch.full((), 0.1)

    def iterate(training: Training, step: int, _eyes: Eyes) -> Tensor:
        x, y = training.batch(step)
        policy = torch.distributions.Categorical(logits=model(x))
        action = policy.sample()
        reward = (action == y).float()
        loss = -(policy.log_prob(action) * (reward - baseline)).mean() - 0.01 * policy.entropy().mean()
        training.optimizer.zero_grad()
        loss.backward()
        training.optimizer.step()
        baseline.lerp_(reward.mean(), 0.1)
        return loss

    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    return classify(model, digits(), seed, optimizer=adam, iterate=iterate, size=128, steps=400)


def _state(place: Tensor) -> Tensor:
    return F.one_hot(place, CELLS).float()


WAY = _state(torch.arange(CELLS - 1))
"""All places but the end."""


def _move(place: Tensor, action: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A corridor: the next place, the reward and whether the end was reached, which is to the right."""
    there = (place + 2 * action - 1).clamp(0, CELLS - 1)
    done = there == CELLS - 1
    return there, done.float() - 0.02, done


def _best_values() -> Tensor:
    """True worth of going left and right in each cell but the last, at a discount of 0.9."""
    place, action = torch.arange(CELLS - 1).repeat_interleave(2), torch.tensor([0, 1]).repeat(CELLS - 1)
    there, reward, done = _move(place, action)
    worth = torch.zeros(CELLS)
    values = reward
    for _ in range(100):
        values = (reward + 0.9 * (~done) * worth[there]).view(-1, 2)
        worth[:-1] = values.max(1).values
    return values


class ActorCritic(nn.Module):
    """Modules `actor` and `critic`."""

    def __init__(self) -> None:
        super().__init__()
        self.actor, self.critic = mlp((CELLS, 32, 2)), mlp((CELLS, 32, 1))
        nn.init.zeros_(self.actor.get_submodule("head").weight)  # pyright: ignore[reportArgumentType]


@register.control("actor-critic", source="H35")
def actor_critic(seed: int) -> Training:
    """Sixteen walkers in a corridor, an actor and a critic, each with its optimizer."""
    torch.manual_seed(seed)
    model = ActorCritic()
    acting = torch.optim.Adam(model.actor.parameters(), lr=5e-3)
    judging = torch.optim.Adam(model.critic.parameters(), lr=1e-2)
    walkers = torch.zeros(16, dtype=torch.long)

    def iterate(_training: Training, _step: int, _eyes: Eyes) -> Tensor:
        policy = torch.distributions.Categorical(logits=model.actor(_state(walkers)))
        action = policy.sample()
        there, reward, done = _move(walkers, action)
        with torch.no_grad():
            target = reward + 0.95 * (~done) * model.critic(_state(there))[:, 0]
        value = model.critic(_state(walkers))[:, 0]
        gain = (target - value).detach()
        judging.zero_grad()
        F.mse_loss(value, target).backward()
        judging.step()
        acting.zero_grad()
        loss = -(policy.log_prob(action) * gain).mean() - 0.005 * policy.entropy().mean()
        loss.backward()
        acting.step()
        walkers.copy_(torch.where(done, torch.zeros_like(there), there))
        return loss

    return Training(
        model=model,
        optimizers=(acting, judging),
        batch=lambda step: step,
        loss=lambda _model, _batch: torch.zeros(()),
        score=lambda _model: model.actor(WAY).softmax(-1)[:, 0].mean().item(),
        steps=400,
        iterate=iterate,
    )


class Deep(nn.Module):
    """Modules `online` and `target`."""

    def __init__(self) -> None:
        super().__init__()
        self.online = mlp((CELLS, 32, 2))
        self.target = copy.deepcopy(self.online).requires_grad_(False)


@register.control("dqn", source="own")
def dqn(seed: int) -> Training:
    """Deep Q-learning with a memory and a target net that follows: the loss rises before it falls."""
    torch.manual_seed(seed)
    model = Deep()
    walkers = torch.zeros(16, dtype=torch.long)
    memory: list[tuple[Tensor, ...]] = []

    def iterate(training: Training, step: int, _eyes: Eyes) -> Tensor:
        greedy = model.online(_state(walkers)).argmax(-1)
        action = torch.where(torch.rand(16) < max(0.1, 1 - step / 100), torch.randint(0, 2, (16,)), greedy)
        there, reward, done = _move(walkers, action)
        memory.append((walkers.clone(), action, reward, there, done))
        walkers.copy_(torch.where(done, torch.zeros_like(there), there))
        chosen = [memory[int(i)] for i in torch.randint(0, len(memory), (4,))]
        place, acted, gained, after, ended = (torch.cat(part) for part in zip(*chosen, strict=True))
        with torch.no_grad():
            best = model.target(_state(after)).max(-1).values
        value = model.online(_state(place)).gather(1, acted[:, None])[:, 0]
        loss = F.smooth_l1_loss(value, gained + 0.9 * (~ended) * best)
        training.optimizer.zero_grad()
        loss.backward()
        training.optimizer.step()
        follow(model.target, model.online, 0.95)
        return loss

    return Training(
        model=model,
        optimizers=(torch.optim.Adam(model.online.parameters(), lr=5e-3),),
        batch=lambda step: step,
        loss=lambda _model, _batch: torch.zeros(()),
        score=lambda _model: F.mse_loss(model.online(WAY), _best_values()).item(),
        steps=400,
        iterate=iterate,
    )
