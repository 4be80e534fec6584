"""A small residual network for images of 8 by 8 grey pixels."""

import torch.nn.functional as F
from torch import Tensor, nn


class Residual(nn.Module):
    """Two convolutions and a skip: modules `conv1`, `norm1`, `conv2`, `norm2`."""

    def __init__(self, width: int, *, norm: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=not norm)
        self.norm1 = nn.BatchNorm2d(width) if norm else nn.Identity()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=not norm)
        self.norm2 = nn.BatchNorm2d(width) if norm else nn.Identity()

    def branch(self, x: Tensor) -> Tensor:
        return self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.branch(x))


class ResNet(nn.Module):
    """Modules `stem`, `norm`, `blocks.<i>`, `head`."""

    def __init__(self, width: int = 16, depth: int = 3, classes: int = 10, *, norm: bool = True) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1, stride=2, bias=not norm)
        self.norm = nn.BatchNorm2d(width) if norm else nn.Identity()
        self.blocks = nn.ModuleList(Residual(width, norm=norm) for _ in range(depth))
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))
