"""Models that make data: adversaries, likelihoods, autoencoders."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import loss_on_test, regress
from sweeps.situations.data import Data, raw_digits, split
from sweeps.situations.networks import mlp
from sweeps.situations.situation import register
from sweeps.situations.training import Training


def _unit_digits() -> Data:
    """Digits with pixels of 0 to 1, each its own target."""
    raw = raw_digits()
    return Data(raw.x / 16, raw.x / 16, raw.x_test / 16, raw.x_test / 16)


class Variational(nn.Module):
    """Modules `encoder` and `decoder` around a code of 8 numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = mlp((64, 64, 16)), mlp((8, 64, 64))

    def forward(self, x: Tensor) -> Tensor:
        mean, log_variance = self.encoder(x).chunk(2, -1)
        noise = torch.randn_like(mean) if self.training else torch.zeros_like(mean)
        logits = self.decoder(mean + noise * (log_variance / 2).exp())
        kl = (mean**2 + log_variance.exp() - 1 - log_variance).sum(-1) / 2
        return F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1) + kl


@register.control("vae", source="H57")
def vae(seed: int) -> Training:
    """A variational autoencoder of digits, by the evidence bound in nats per image."""
    torch.manual_seed(seed)
    model, data = Variational(), _unit_digits()

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return model(batch[0]).mean()

    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return regress(model, data, seed, optimizer=adam, loss=loss, score=loss_on_test(data, loss), steps=400)


class Quantised(nn.Module):
    """Modules `encoder`, `codes`, `decoder`: four codes of 32 for each image, gradients straight through."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.codes, self.decoder = mlp((64, 64, 32)), nn.Embedding(32, 8), mlp((32, 64, 64))
        nn.init.normal_(self.codes.weight, std=0.3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = self.encoder(x).view(-1, 4, 8)
        near = torch.cdist(z, self.codes.weight[None].expand(len(z), -1, -1)).argmin(-1)
        code = self.codes(near)
        commitment = F.mse_loss(code, z.detach()) + 0.25 * F.mse_loss(z, code.detach())
        return self.decoder((z + (code - z).detach()).flatten(1)), commitment


@register.control("vq-vae", source="H47")
def vq_vae(seed: int) -> Training:
    """An autoencoder with a codebook, of which each batch touches a part."""
    torch.manual_seed(seed)
    model, data = Quantised(), _unit_digits()

    def loss(model: nn.Module, batch: Any) -> Tensor:
        out, commitment = model(batch[0])
        return F.mse_loss(out, batch[1]) + 0.1 * commitment

    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return regress(model, data, seed, optimizer=adam, loss=loss, score=loss_on_test(data, loss), steps=400)


class Flow(nn.Module):
    """Affine couplings of 8 features: modules `nets.<i>`."""

    def __init__(self, features: int = 8, depth: int = 4) -> None:
        super().__init__()
        self.cut = features // 2
        self.nets = nn.ModuleList(mlp((self.cut, 32, features), act=nn.Tanh) for _ in range(depth))
        for net in self.nets:
            for parameter in net.get_submodule("head").parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Negative log-likelihood of each row, in nats."""
        volume = torch.zeros(len(x))
        for net in self.nets:
            fixed, moved = x[:, : self.cut], x[:, self.cut :]
            shift, scale = net(fixed).chunk(2, -1)
            scale = 2 * torch.tanh(scale)
            x = torch.cat([moved * scale.exp() + shift, fixed], 1)
            volume = volume + scale.sum(-1)
        return (x**2 + 1.8378770664).sum(-1) / 2 - volume


@register.control("normalising-flow", source="H37")
def normalising_flow(seed: int) -> Training:
    """A normalising flow, whose negative log-likelihood falls through 0 and far below."""
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(17)
    x = torch.randn(2048, 2, generator=draw) @ torch.randn(2, 8, generator=draw)
    x = x / x.std(0) + 0.1 * torch.randn(2048, 8, generator=draw)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return model(batch[0]).mean()

    model, data = Flow(), split(x, x)
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return regress(model, data, seed, optimizer=adam, loss=loss, score=loss_on_test(data, loss), steps=300)
