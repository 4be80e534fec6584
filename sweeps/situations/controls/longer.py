"""Runs that go on for long after, or before, what counts has happened."""

from functools import cache

import torch
import torch.nn.functional as F
from torch import nn

from sweeps.situations.common import classify, error_rate, loss_on_test, regress
from sweeps.situations.data import Data, digits, language, split, standardised
from sweeps.situations.networks import Gpt, mlp
from sweeps.situations.recipes import speak
from sweeps.situations.situation import register
from sweeps.situations.training import Training


@register.control("interpolation", source="H32")
def interpolation(seed: int) -> Training:
    """The digits are known by heart after 200 of 1000 steps; the loss goes on towards 0, and so do
    gradients.
    """
    torch.manual_seed(seed)
    return classify(mlp((64, 64, 64, 10)), digits(), seed, lr=0.05, steps=1000)


@register.control("interpolation-adam", source="H32, H60")
def interpolation_adam(seed: int) -> Training:
    """The same under Adam, whose steps remain as large as before while gradients vanish."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 10))
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    return classify(model, digits(), seed, optimizer=adam, steps=800)


@register.control("exact-linear-fit", source="own")
def exact_linear_fit(seed: int) -> Training:
    """Targets that are linear and without noise: the loss falls to where 32 bits end and trembles there."""
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(23)
    x = torch.randn(1024, 8, generator=draw)
    data = split(x, standardised(x @ torch.randn(8, 1, generator=draw)))
    model = nn.Linear(8, 1)
    return regress(model, data, seed, optimizer=torch.optim.SGD(model.parameters(), lr=0.1), steps=600)


@register.control("noise-floor", source="own")
def noise_floor(seed: int) -> Training:
    """Nine tenths of the targets is noise: after a few steps the loss only trembles, for the rest of the
    run.
    """
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(24)
    x = torch.randn(4096, 8, generator=draw)
    signal = x @ torch.full((8, 1), 8**-0.5)
    data = split(x, signal + 3 * torch.randn(4096, 1, generator=draw))
    model = nn.Linear(8, 1)

    def score(model: nn.Module) -> float:
        return F.mse_loss(model(data.x_test), data.x_test @ torch.full((8, 1), 8**-0.5)).item()

    sgd = torch.optim.SGD(model.parameters(), lr=0.01)
    return regress(model, data, seed, optimizer=sgd, score=score, steps=400)


@register.control("language-model-at-its-floor", source="own")
def language_model_at_its_floor(seed: int) -> Training:
    """A language model has learnt in 100 steps all there is to learn, and is left on for 300 more."""
    torch.manual_seed(seed)
    return speak(Gpt(depth=1), seed, data=language(length=16), lr=5e-3, steps=400)


@cache
def _sums(modulus: int = 17) -> Data:
    """All sums modulo 17, eight tenths of them for training."""
    a, b = torch.arange(modulus**2) // modulus, torch.arange(modulus**2) % modulus
    x = torch.cat([F.one_hot(a, modulus), F.one_hot(b, modulus)], 1).float()
    return split(x, (a + b) % modulus, kept=0.2)


@register.control("grokking", source="H33")
def grokking(seed: int) -> Training:
    """Sums modulo 17: known by heart after 50 steps, understood only much later, by dint of weight decay."""
    torch.manual_seed(seed)
    data = _sums()
    model = nn.Sequential(nn.Linear(34, 128), nn.ReLU(), nn.Linear(128, 17))
    adam = torch.optim.AdamW(model.parameters(), lr=1e-2, betas=(0.9, 0.98), weight_decay=1.0)
    training = classify(
        model, data, seed, optimizer=adam, score=error_rate(data), validate=loss_on_test(data), steps=1200
    )
    training.batch = lambda _step: (data.x, data.y)
    return training


@register.control("one-odd-batch", source="H29")
def one_odd_batch(seed: int) -> Training:
    """One batch in the middle of a run is of another kind: its loss is high, and all is well again soon."""
    torch.manual_seed(seed)
    data = language(length=16)
    training = speak(Gpt(depth=1), seed, data=data, lr=3e-3, steps=300)
    usual = training.batch

    def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = usual(step)
        return (x, y.flip(1)) if step == 180 else (x, y)

    training.batch = batch
    return training
