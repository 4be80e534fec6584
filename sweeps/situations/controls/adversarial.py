"""Generators and critics against each other."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.data import Data, raw_digits, split
from sweeps.situations.networks import mlp
from sweeps.situations.situation import register
from sweeps.situations.training import Eyes, Training


def energy_distance(a: Tensor, b: Tensor) -> float:
    """Between two samples: 0 for the same distribution, in units of the data."""
    between = torch.cdist(a, b).mean()
    return (2 * between - torch.cdist(a, a).mean() - torch.cdist(b, b).mean()).item()


class Adversaries(nn.Module):
    """Modules `generator` and `critic`, as the watched whole."""

    def __init__(self, generator: nn.Module, critic: nn.Module, noise: int) -> None:
        super().__init__()
        self.generator, self.critic, self.noise = generator, critic, noise

    def sample(self, size: int) -> Tensor:
        return self.generator(torch.randn(size, self.noise))

    def distance(self, data: Tensor) -> float:
        draw = torch.Generator().manual_seed(1)
        return energy_distance(self.generator(torch.randn(500, self.noise, generator=draw)), data)


def _adversarial(model: Adversaries, data: Data, seed: int, *, size: int, steps: int) -> Training:
    """The critic steps, then the generator; the loss told is that of the generator."""
    one = torch.optim.Adam(model.generator.parameters(), lr=1e-3, betas=(0.5, 0.999))
    other = torch.optim.Adam(model.critic.parameters(), lr=1e-3, betas=(0.5, 0.999))

    def iterate(training: Training, step: int, _eyes: Eyes) -> Tensor:
        real = training.batch(step)[0]
        made = model.sample(len(real))
        other.zero_grad()
        (F.softplus(-model.critic(real)).mean() + F.softplus(model.critic(made.detach())).mean()).backward()
        other.step()
        one.zero_grad()
        loss = F.softplus(-model.critic(made)).mean()
        loss.backward()
        one.step()
        return loss

    return Training(
        model=model,
        optimizers=(one, other),
        batch=data.batches(size, seed),
        loss=lambda _model, batch: F.softplus(-model.critic(batch[0])).mean(),
        score=lambda _model: model.distance(data.x_test),
        steps=steps,
        iterate=iterate,
    )


def _mixture() -> Data:
    """Eight clouds on a ring of radius 1."""
    draw = torch.Generator().manual_seed(16)
    angle = torch.randint(0, 8, (2048,), generator=draw) * torch.pi / 4
    x = torch.stack([angle.cos(), angle.sin()], 1) + 0.05 * torch.randn(2048, 2, generator=draw)
    return split(x, x)


@register.control("gan-ring", source="H04")
def gan_ring(seed: int) -> Training:
    """Two MLPs against each other on eight clouds: neither loss has a trend, the samples become better."""
    torch.manual_seed(seed)
    leaky = lambda: nn.LeakyReLU(0.2)  # noqa: E731 - a factory of modules
    model = Adversaries(mlp((2, 64, 64, 2)), mlp((2, 64, 64, 1), act=leaky), 2)
    return _adversarial(model, _mixture(), seed, size=128, steps=500)


@register.control("dcgan", source="H04, H57")
def dcgan(seed: int) -> Training:
    """A small DCGAN on digits of 8 by 8 pixels."""
    torch.manual_seed(seed)
    raw = raw_digits()
    x, x_test = raw.x / 8 - 1, raw.x_test / 8 - 1
    generator = nn.Sequential(
        nn.Sequential(nn.Linear(16, 32 * 4), nn.Unflatten(1, (32, 2, 2)), nn.BatchNorm2d(32), nn.ReLU()),
        nn.Sequential(nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.BatchNorm2d(16), nn.ReLU()),
        nn.Sequential(nn.ConvTranspose2d(16, 1, 4, 2, 1), nn.Tanh(), nn.Flatten()),
    )
    critic = nn.Sequential(
        nn.Sequential(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 16, 4, 2, 1), nn.LeakyReLU(0.2)),
        nn.Sequential(nn.Conv2d(16, 32, 4, 2, 1), nn.BatchNorm2d(32), nn.LeakyReLU(0.2), nn.Flatten()),
        nn.Linear(32 * 4, 1),
    )
    for module in [*generator.modules(), *critic.modules()]:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=0.02)
    model = Adversaries(generator, critic, 16)
    return _adversarial(model, Data(x, x, x_test, x_test), seed, size=32, steps=200)


@register.control("wgan-gp", source="own")
def wgan_gp(seed: int) -> Training:
    """A Wasserstein critic with a gradient penalty: three of its steps for one of the generator, losses
    below 0.
    """
    torch.manual_seed(seed)
    data, model = _mixture(), Adversaries(mlp((8, 64, 64, 2)), mlp((2, 64, 64, 1)), 8)
    one = torch.optim.Adam(model.generator.parameters(), lr=1e-3, betas=(0.0, 0.9))
    other = torch.optim.Adam(model.critic.parameters(), lr=1e-3, betas=(0.0, 0.9))

    def penalty(real: Tensor, made: Tensor) -> Tensor:
        between = torch.lerp(real, made, torch.rand(len(real), 1)).requires_grad_()
        (slope,) = torch.autograd.grad(model.critic(between).sum(), between, create_graph=True)
        return ((slope.norm(dim=1) - 1) ** 2).mean()

    def iterate(training: Training, step: int, _eyes: Eyes) -> Tensor:
        for inner in range(3):
            real = training.batch(3 * step + inner)[0]
            made = model.sample(len(real)).detach()
            other.zero_grad()
            apart = model.critic(made).mean() - model.critic(real).mean()
            (apart + 1.0 * penalty(real, made)).backward()
            other.step()
        one.zero_grad()
        loss = -model.critic(model.sample(64)).mean()
        loss.backward()
        one.step()
        return loss

    return Training(
        model=model,
        optimizers=(one, other),
        batch=data.batches(64, seed),
        loss=lambda _model, batch: -model.critic(batch[0]).mean(),
        score=lambda _model: model.distance(data.x_test),
        steps=300,
        iterate=iterate,
    )
