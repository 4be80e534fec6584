"""Weights that were drawn, copied or filled in a way that training does not mend."""

import torch
from torch import Tensor, nn

from sweeps.situations.blind.sets import masks
from sweeps.situations.common import classify, regress
from sweeps.situations.data import Data, digits
from sweeps.situations.networks import Lstm, linears, mlp
from sweeps.situations.recipes import recall, speak
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training

LEVELS = (Level.BLATANT, Level.MODERATE)


@register.fault(
    "weights-between-0-and-1",
    source="F05; SO 49433936",
    codes={"TV308", "TV104", "TV103", "TV404"},
    where=("hidden*", "head*"),
    remedies=("init=he_normal",),
    levels=LEVELS,
)
def weights_between_0_and_1(level: Level | None, seed: int) -> Training:
    """Weights come from `torch.rand`, all of them positive (moderate: a fifth of that)."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 64, 10))
    if level is not None:
        for linear in linears(model):
            nn.init.uniform_(linear.weight, 0.0, 1.0 if level is Level.BLATANT else 0.2)
    return classify(model, digits(), seed, optimizer=torch.optim.Adam(model.parameters(), lr=1e-3))


class Denoiser(nn.Module):
    """Modules `encoder` and `decoder`, convolutions both."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()
        )
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(16, 16, 2, 2), nn.ReLU(), nn.ConvTranspose2d(16, 8, 2, 2), nn.ReLU(),
            nn.Conv2d(8, 1, 3, padding=1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


@register.fault(
    "decoder-drawn-from-normal",
    source="F05; own",
    codes={"TV308", "TV104", "TV404"},
    where=("decoder*",),
    remedies=("init=he_normal", "a deviation of 0.02"),
    levels=LEVELS,
)
def decoder_drawn_from_normal(level: Level | None, seed: int) -> Training:
    """`normal_(weight)` fills a decoder without the deviation that was meant: 1 (moderate: 0.5)."""
    torch.manual_seed(seed)
    model = Denoiser()
    if level is not None:
        for module in model.decoder:
            if isinstance(module, nn.ConvTranspose2d | nn.Conv2d):
                nn.init.normal_(module.weight, std=1.0 if level is Level.BLATANT else 0.5)
    return regress(model, masks(), seed, optimizer=torch.optim.Adam(model.parameters(), lr=2e-3), size=32)


class Rows(nn.Module):
    """Modules `gru` and `head`; reads an image row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(8, 32, batch_first=True), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.gru(x)[0][:, -1])


@register.fault(
    "gru-of-constants",
    source="F03",
    codes={"TV301"},
    where=("gru*", "head"),
    remedies=("orthogonal or uniform weights",),
    levels=LEVELS,
)
def gru_of_constants(level: Level | None, seed: int) -> Training:
    """A loop fills all parameters of a GRU and its head with 0.1 (moderate: 0.01): its units are one unit."""
    torch.manual_seed(seed)
    rows = digits()
    data = Data(rows.x.view(-1, 8, 8), rows.y, rows.x_test.view(-1, 8, 8), rows.y_test)
    model = Rows()
    if level is not None:
        for parameter in model.parameters():
            nn.init.constant_(parameter, 0.1 if level is Level.BLATANT else 0.01)
    return classify(model, data, seed, optimizer=torch.optim.Adam(model.parameters(), lr=5e-3))


@register.fault(
    "forget-gates-shut",
    source="own",
    codes={"TV308", "TV201"},
    where=("lstm*",),
    remedies=("a forget bias of 1",),
    levels=LEVELS,
)
def forget_gates_shut(level: Level | None, seed: int) -> Training:
    """The forget gates of an LSTM were to begin open, but the sign of their bias was lost: -10 (moderate:
    -5) instead of 1.
    """
    torch.manual_seed(seed)
    model = Lstm(8)
    bias = {None: 1.0, Level.BLATANT: -10.0, Level.MODERATE: -5.0}[level]
    with torch.no_grad():
        model.lstm.get_parameter("bias_ih_l0")[32:64] = bias
        model.lstm.get_parameter("bias_hh_l0")[32:64] = 0.0
    return speak(model, seed, data=recall(), lr=5e-3, size=32)
