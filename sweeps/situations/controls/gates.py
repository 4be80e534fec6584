"""Gates: sigmoids that are rightly shut or open."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify
from sweeps.situations.data import digits, images
from sweeps.situations.recipes import recall, speak
from sweeps.situations.situation import register
from sweeps.situations.training import Training


class Highway(nn.Module):
    """A layer that carries its input on but for what its gate, closed at first, lets through."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear, self.gate, self.sigmoid = nn.Linear(width, width), nn.Linear(width, width), nn.Sigmoid()
        nn.init.kaiming_normal_(self.linear.weight)
        nn.init.constant_(self.gate.bias, -3.0)

    def forward(self, x: Tensor) -> Tensor:
        share = self.sigmoid(self.gate(x))
        return share * F.relu(self.linear(x)) + (1 - share) * x


@register.control("highway", source="own")
def highway(seed: int) -> Training:
    """Ten highway layers, whose sigmoid gates are nearly closed at the start and by design."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 48), *(Highway(48) for _ in range(10)), nn.Linear(48, 10))
    return classify(model, digits(), seed, optimizer=torch.optim.Adam(model.parameters(), lr=3e-3))


class Gate(nn.Module):
    """Squeeze and excitation: modules `down`, `up`, `sigmoid`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down, self.up, self.sigmoid = nn.Linear(width, 8), nn.Linear(8, width), nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        gate = self.sigmoid(self.up(F.relu(self.down(x.mean((2, 3))))))
        return x * gate[:, :, None, None]


@register.control("mobile-cnn", source="own")
def mobile_cnn(seed: int) -> Training:
    """Depthwise convolutions, ReLU6 and hard swish, and channels gated by a sigmoid."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16), nn.Hardswish()
        ),
        nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False), nn.BatchNorm2d(16), nn.ReLU6()),
        Gate(16),
        nn.Sequential(nn.Conv2d(16, 32, 1, bias=False), nn.BatchNorm2d(32), nn.Hardswish()),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(32, 10)),
    )
    return classify(model, images(), seed, optimizer=torch.optim.Adam(model.parameters(), lr=5e-3))


class Latch(nn.Module):
    """A recurrent cell with gates, by hand: modules `tokens`, `gates`, `sigmoid`, `head`."""

    def __init__(self, vocabulary: int = 32, width: int = 32) -> None:
        super().__init__()
        self.width = width
        self.tokens, self.gates = nn.Embedding(vocabulary, width), nn.Linear(2 * width, 3 * width)
        self.sigmoid, self.head = nn.Sigmoid(), nn.Linear(width, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        x, state = self.tokens(tokens), torch.zeros(len(tokens), self.width)
        states = []
        for t in range(tokens.shape[1]):
            keep, show, new = self.gates(torch.cat([x[:, t], state], 1)).chunk(3, 1)
            keep = self.sigmoid(keep)
            state = keep * state + (1 - keep) * torch.tanh(new)
            states.append(self.sigmoid(show) * state)
        return self.head(torch.stack(states, 1))


@register.control("binary-gates", source="H30")
def binary_gates(seed: int) -> Training:
    """A gated cell that has to hold the first token to the end: its gates rightly become all or nothing."""
    torch.manual_seed(seed)
    return speak(Latch(8), seed, data=recall(), lr=2e-2, size=32, steps=400)
