"""Losses that are right on paper and wrong in floating point, or wrong by a power of ten."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify
from sweeps.situations.data import cancer, digits
from sweeps.situations.faults.outputs_probabilities import half_wrong
from sweeps.situations.networks import mlp
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training


@register.fault(
    "log-of-zero-binary",
    source="F32; d4ml-001/003/005",
    codes={"TV203"},
    onset=(2, 60),
    remedies=("binary_cross_entropy_with_logits", "add an eps inside the log"),
    certain="0 times the log of 0 is not a number, and one such sample ends the training",
)
def log_of_zero_binary(level: Level | None, seed: int) -> Training:
    """-y log p - (1 - y) log(1 - p) by hand: well until the first sample about which the net is sure."""
    torch.manual_seed(seed)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x, y = batch
        out, y = model(x)[:, 0], y.float()
        if level is None:
            return F.binary_cross_entropy_with_logits(out, y)
        p = out.sigmoid()
        return -(y * p.log() + (1 - y) * (1 - p).log()).mean()

    score = half_wrong(cancer(), 0.0)
    return classify(mlp((30, 64, 64, 1)), cancer(), seed, lr=0.1, loss=loss, score=score, steps=400)


@register.fault(
    "log-of-zero-softmax",
    source="F32; SO 40192728",
    codes={"TV203"},
    onset=(2, 80),
    certain="0 times the log of 0 is not a number, and one such sample ends the training",
    remedies=("cross_entropy", "log_softmax"),
)
def log_of_zero_softmax(level: Level | None, seed: int) -> Training:
    """-Σ y log p of a softmax by hand and in half precision, where p is 0 from 17 nats on: 0 times the log of
    0, for any class about which the net is sure. The twin takes log_softmax in the same precision.
    """
    torch.manual_seed(seed)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x, y = batch
        out = model(x).half()
        logs = out.log_softmax(-1) if level is None else out.softmax(-1).log()
        return -(F.one_hot(y, 10) * logs).sum(-1).float().mean()

    return classify(mlp((64, 64, 64, 10)), digits(), seed, loss=loss)


class Pairs(nn.Module):
    """Modules `encoder` and `head`; embeds digits and says their class."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.head = mlp((64, 64, 16)), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x))


@register.fault(
    "root-of-zero-distance",
    source="own; slope of the square root at 0",
    codes={"TV203"},
    onset=(0, 20),
    remedies=("add an eps below the root",),
    certain="the slope of the root at 0 is infinite, and 0 times that is not a number",
)
def root_of_zero_distance(level: Level | None, seed: int) -> Training:
    """A classifier with a term that pulls the embeddings of equal classes together, by a distance whose root
    has no eps: the first sample that meets itself makes the gradient NaN, while the loss is still finite.
    """
    torch.manual_seed(seed)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x, y = batch
        codes = model.get_submodule("encoder")(x)
        order = torch.argsort(y, stable=True)
        partner = codes[order.roll(1)] - codes[order]
        eps = 1e-6 if level is None else 0.0
        gap = (partner.square().sum(-1) + eps).sqrt()
        same = (y[order.roll(1)] == y[order]).float()
        return F.cross_entropy(model.get_submodule("head")(codes), y) + 0.01 * (gap * same).mean()

    return classify(Pairs(), digits(), seed, lr=0.02, loss=loss)


@register.fault(
    "contrastive-temperature",
    source="F42",
    codes={"TV404", "TV202", "TV302"},
    remedies=("a temperature of 0.1",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def contrastive_temperature(level: Level | None, seed: int) -> Training:
    """Two noisy views of digits, to be told from other digits by a similarity that is divided by 0.001
    (moderate: 0.005) instead of 0.1: the first loss is tens of nats, and so are its gradients.
    """
    torch.manual_seed(seed)
    temperature = {None: 0.1, Level.BLATANT: 1e-3, Level.MODERATE: 5e-3}.get(level, 0.1)
    batches = digits().batches(64, seed)

    def views(x: Tensor, draw: int) -> tuple[Tensor, Tensor]:
        return x, x + 0.5 * torch.randn(x.shape, generator=torch.Generator().manual_seed(draw))

    def similarity(model: nn.Module, batch: Any) -> Tensor:
        first, second = (F.normalize(model(x), dim=-1) for x in batch)
        return first @ second.T / temperature

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return F.cross_entropy(similarity(model, batch), torch.arange(len(batch[0])))

    def score(model: nn.Module) -> float:
        found = similarity(model, views(digits().x_test, 5)).argmax(-1)
        return (found != torch.arange(len(found))).float().mean().item()

    training = classify(mlp((64, 64, 64, 16)), digits(), seed, lr=0.1, loss=loss, score=score)
    training.batch = lambda step: views(batches(step)[0], 1_000_003 * seed + step)
    return training


class Vae(nn.Module):
    """Modules `encoder`, `mean`, `scale`, `decoder`; the codes are 8 numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.mean, self.scale = mlp((64, 64, 64)), nn.Linear(64, 8), nn.Linear(64, 8)
        self.decoder = mlp((8, 64, 64, 64))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What comes back (in eval mode of the mean code), means and log-variances of the codes."""
        inner = self.encoder(x).relu()
        mean, scale = self.mean(inner), self.scale(inner)
        noise = torch.randn_like(mean) * (scale / 2).exp() if self.training else 0.0
        return self.decoder(mean + noise), mean, scale


@register.fault(
    "posterior-collapse",
    source="F41",
    codes={"TV103", "TV201", "TV403"},
    where=("encoder*", "mean", "scale", "decoder*"),
    onset=(0, 150),
    remedies=("sum both terms over their entries", "raise the weight of the KL term slowly from 0"),
    levels=(Level.BLATANT, Level.MODERATE),
)
def posterior_collapse(level: Level | None, seed: int) -> Training:
    """A VAE whose error is averaged over the pixels and whose KL term is summed over the codes, both of
    weight 1 (moderate: 0.3): the codes of all digits become alike, and the decoder paints their mean.
    """
    torch.manual_seed(seed)
    weight = {None: 1 / 64, Level.BLATANT: 1.0, Level.MODERATE: 0.3}.get(level, 1.0)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x, _ = batch
        said, mean, scale = model(x)
        divergence = 0.5 * (mean.square() + scale.exp() - 1 - scale).sum(-1).mean()
        return F.mse_loss(said, x) + weight * divergence

    def score(model: nn.Module) -> float:
        x = digits().x_test
        return F.mse_loss(model(x)[0], x).item()

    model = Vae()
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return classify(model, digits(), seed, optimizer=adam, loss=loss, score=score, steps=300)
