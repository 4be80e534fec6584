"""Adversaries, diffusion, autoencoders and policies."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.blind.sets import shapes
from sweeps.situations.common import classify, regress
from sweeps.situations.data import Data, digits, split
from sweeps.situations.networks import mlp
from sweeps.situations.situation import register
from sweeps.situations.training import Eyes, Training


class Pair(nn.Module):
    """Modules `generator` and `critic`, for single numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.generator, self.critic = mlp((2, 32, 32, 1), init=None), mlp((1, 32, 32, 1), init=None)


@register.control("least-squares-gan", source="H04; own")
def least_squares_gan(seed: int) -> Training:
    """Numbers around 3 by a least-squares GAN: the loss of each rises and falls with the other's luck."""
    torch.manual_seed(seed)
    model = Pair()
    real = 3 + 0.7 * torch.randn(4000, 1, generator=torch.Generator().manual_seed(91))
    one = torch.optim.Adam(model.generator.parameters(), lr=3e-3, betas=(0.5, 0.99))
    other = torch.optim.Adam(model.critic.parameters(), lr=3e-3, betas=(0.5, 0.99))

    def iterate(training: Training, step: int, _eyes: Eyes) -> Tensor:
        x = training.batch(step)[0]
        made = model.generator(torch.randn(len(x), 2))
        other.zero_grad()
        (((model.critic(x) - 1) ** 2).mean() + (model.critic(made.detach()) ** 2).mean()).backward()
        other.step()
        one.zero_grad()
        loss = ((model.critic(made) - 1) ** 2).mean()
        loss.backward()
        one.step()
        return loss

    def score(_model: nn.Module) -> float:
        made = model.generator(torch.randn(1000, 2, generator=torch.Generator().manual_seed(92)))
        wanted, got = real[:1000, 0].sort().values, made[:, 0].sort().values
        return (wanted - got).abs().mean().item()

    return Training(
        model=model,
        optimizers=(one, other),
        batch=split(real, real).batches(128, seed),
        loss=lambda _model, batch: ((model.critic(batch[0]) - 1) ** 2).mean(),
        score=score,
        steps=400,
        iterate=iterate,
    )


class Denoiser(nn.Module):
    """Modules `net`: says the noise in a point, knowing how much there is."""

    def __init__(self) -> None:
        super().__init__()
        self.net = mlp((4, 64, 64, 2), act=nn.SiLU)

    def forward(self, x: Tensor, share: Tensor) -> Tensor:
        return self.net(torch.cat([x, share, (math.pi * share).cos()], 1))


@register.control("diffusion-of-points", source="own")
def diffusion_of_points(seed: int) -> Training:
    """Diffusion on a ring of points: the loss falls from 1 and then trembles about a floor for ever."""
    torch.manual_seed(seed)
    angle = 2 * math.pi * torch.rand(3000, 1, generator=torch.Generator().manual_seed(93))
    x = 1.4 * torch.cat([angle.cos(), angle.sin()], 1)
    data, model = split(x, x), Denoiser()

    def loss(model: nn.Module, batch: Any, draw: torch.Generator | None = None) -> Tensor:
        clean = batch[0]
        share = torch.rand(len(clean), 1, generator=draw)
        noise = torch.randn(clean.shape, generator=draw)
        mixed = (share * math.pi / 2).cos() * clean + (share * math.pi / 2).sin() * noise
        return F.mse_loss(model(mixed, share), noise)

    def score(model: nn.Module) -> float:
        return loss(model, (data.x_test,), torch.Generator().manual_seed(94)).item()

    adam = torch.optim.AdamW(model.parameters(), lr=3e-3)
    return regress(model, data, seed, optimizer=adam, loss=loss, score=score, size=128, steps=400)


@register.control("convolutional-autoencoder", source="own")
def convolutional_autoencoder(seed: int) -> Training:
    """Images of shapes through 16 numbers, down by convolutions and up by transposed ones."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1), nn.LeakyReLU(0.1), nn.Conv2d(8, 16, 3, 2, 1), nn.LeakyReLU(0.1),
        nn.Flatten(), nn.Linear(144, 16), nn.Linear(16, 144), nn.LeakyReLU(0.1), nn.Unflatten(1, (16, 3, 3)),
        nn.ConvTranspose2d(16, 8, 2, 2), nn.LeakyReLU(0.1), nn.ConvTranspose2d(8, 1, 2, 2),
    )  # fmt: skip
    whole = shapes()
    data = Data(whole.x, whole.x, whole.x_test, whole.x_test)
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return regress(model, data, seed, optimizer=adam, size=32, steps=250)


class Policy(nn.Module):
    """Modules `actor` and `critic`, each on its own."""

    def __init__(self) -> None:
        super().__init__()
        self.actor, self.critic = mlp((64, 64, 10), act=nn.Tanh), mlp((64, 64, 1), act=nn.Tanh)

    def forward(self, x: Tensor) -> Tensor:
        return self.actor(x)


@register.control("clipped-policy", source="H35; own")
def clipped_policy(seed: int) -> Training:
    """PPO on a bandit of digits: four passes over each batch of actions, clipped ratios, a critic."""
    torch.manual_seed(seed)
    model, kept = Policy(), {}

    def iterate(training: Training, step: int, eyes: Eyes) -> Tensor:
        if step % 4 == 0:
            x, y = training.batch(step)
            with torch.no_grad():
                policy = torch.distributions.Categorical(logits=model.actor(x))
                action = policy.sample()
                reward = (action == y).float()
                gain = reward - model.critic(x)[:, 0]
                kept["all"] = (
                    x,
                    action,
                    policy.log_prob(action),
                    reward,
                    (gain - gain.mean()) / (gain.std() + 1e-8),
                )
        x, action, before, reward, gain = kept["all"]
        policy = torch.distributions.Categorical(logits=model.actor(x))
        ratio = (policy.log_prob(action) - before).exp()
        loss = -torch.minimum(ratio * gain, ratio.clamp(0.8, 1.2) * gain).mean()
        loss = loss + 0.5 * F.mse_loss(model.critic(x)[:, 0], reward) - 0.01 * policy.entropy().mean()
        training.optimizer.zero_grad()
        loss.backward()
        eyes.gradients_ready()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        training.optimizer.step()
        return loss

    adam = torch.optim.Adam(model.parameters(), lr=5e-3, eps=1e-5)
    return classify(model, digits(), seed, optimizer=adam, iterate=iterate, size=256, steps=400)
