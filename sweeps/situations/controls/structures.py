"""Weights that are pruned, quantised, normalised or few, and networks on graphs and sets."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from sweeps.situations.common import classify, cross_entropy
from sweeps.situations.data import digits, images
from sweeps.situations.networks import Cnn, linears, mlp
from sweeps.situations.situation import register
from sweeps.situations.training import Training, run


class Grid(torch.autograd.Function):
    """Rounds to steps of 1/8 within [-1, 1]; its gradient is that of clipping."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.save_for_backward(x)
        return (x.clamp(-1, 1) * 8).round() / 8

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return grad * (ctx.saved_tensors[0].abs() <= 1)


class Quantised(nn.Linear):
    """A linear layer whose weights are rounded, as they will be on a device."""

    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        weight: Any = Grid.apply(self.weight)
        return F.linear(x, weight, self.bias)


@register.control("quantisation-aware", source="H47")
def quantisation_aware(seed: int) -> Training:
    """Weights rounded to 17 values in the forward pass, with gradients straight through."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        Quantised(64, 64), nn.BatchNorm1d(64), nn.ReLU(), Quantised(64, 64), nn.BatchNorm1d(64), nn.ReLU()
    ).append(nn.Linear(64, 10))
    return classify(model, digits(), seed, optimizer=torch.optim.Adam(model.parameters(), lr=3e-3))


@register.control("network-slimming", source="H49")
def network_slimming(seed: int) -> Training:
    """A penalty on the gains of batch norms, which drives some of them to 0 for pruning."""
    torch.manual_seed(seed)
    model = Cnn(norm=True)
    gains = [p for name, p in model.named_parameters() if "norm" in name and name.endswith("weight")]

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return cross_entropy(model, batch) + 1e-2 * torch.stack([gain.abs().sum() for gain in gains]).sum()

    adam = torch.optim.Adam(model.parameters(), lr=1e-2)
    return classify(model, images(), seed, optimizer=adam, loss=loss, steps=300)


@register.control("pruned-fine-tuning", source="own")
def pruned_fine_tuning(seed: int) -> Training:
    """Four fifths of the weights of a trained net are cut and stay 0; the others learn on."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 10))
    run(classify(model, digits(), seed + 100, lr=0.05, steps=150))
    for linear in linears(model)[:-1]:
        prune.l1_unstructured(linear, "weight", 0.8)
    return classify(model, digits(), seed, lr=0.01, steps=150)


@register.control("weight-norm", source="own")
def weight_norm(seed: int) -> Training:
    """Directions and lengths of weights as parameters of their own."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 10))
    for linear in linears(model):
        parametrizations.weight_norm(linear)
    return classify(model, digits(), seed, lr=0.05)


@register.control("spectral-norm", source="own")
def spectral_norm(seed: int) -> Training:
    """Hidden weights divided by their largest singular value."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 10))
    for linear in linears(model)[:-1]:
        parametrizations.spectral_norm(linear)
    return classify(model, digits(), seed, optimizer=torch.optim.Adam(model.parameters(), lr=5e-3))


@register.control("low-rank-layers", source="own")
def low_rank_layers(seed: int) -> Training:
    """Each matrix is the product of two thin ones, of rank 12."""
    torch.manual_seed(seed)

    def thin(fan_in: int, width: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(fan_in, 12, bias=False), nn.Linear(12, width), nn.ReLU())

    model = nn.Sequential(thin(64, 64), thin(64, 64), nn.Linear(64, 10))
    return classify(model, digits(), seed, optimizer=torch.optim.Adam(model.parameters(), lr=5e-3))


@register.control("group-norm-small-batch", source="own")
def group_norm_small_batch(seed: int) -> Training:
    """Group norms, which do not mind batches of four."""
    torch.manual_seed(seed)
    model = Cnn()
    for name, width in (("norm1", 16), ("norm2", 16), ("norm3", 32)):
        setattr(model, name, nn.GroupNorm(4, width))
    adam = torch.optim.Adam(model.parameters(), lr=2e-3)
    return classify(model, images(), seed, optimizer=adam, size=4, steps=400)
