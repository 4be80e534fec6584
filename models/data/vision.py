"""Without this file the standard picture sets would be missing where there is a network to fetch them."""

import importlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from models.data.base import InMemoryData
from models.data.batches import Examples


class VisionData(InMemoryData):
    """A torchvision data set with its official test part, held in memory.

    `root` is the folder that keeps the download. Raises ImportError, saying what to install, without
    torchvision.
    """

    task: ClassVar[str] = "multiclass"
    out_features = 10
    torchvision_name: ClassVar[str]

    def __init__(self, *, root: str = "data", **split: Any) -> None:
        super().__init__(**split)
        self.root = Path(root)
        self._datasets = _torchvision_datasets(self.torchvision_name)

    def prepare_data(self) -> None:
        self._part(train=True)
        self._part(train=False)

    def load(self) -> Examples:
        return self._part(train=True)

    def load_test(self) -> Examples:
        return self._part(train=False)

    def _part(self, *, train: bool) -> Examples:
        part = getattr(self._datasets, self.torchvision_name)(self.root, train=train, download=True)
        return _examples(part.data, part.targets)


class Mnist(VisionData):
    """60000 + 10000 handwritten digits of 28x28 pixels."""

    in_shape = (1, 28, 28)
    torchvision_name: ClassVar[str] = "MNIST"


class FashionMnist(VisionData):
    """60000 + 10000 pictures of clothes, 28x28 pixels (arXiv:1708.07747)."""

    in_shape = (1, 28, 28)
    torchvision_name: ClassVar[str] = "FashionMNIST"


class Cifar10(VisionData):
    """50000 + 10000 colour pictures of 32x32 pixels (Krizhevsky 2009)."""

    in_shape = (3, 32, 32)
    torchvision_name: ClassVar[str] = "CIFAR10"


def _torchvision_datasets(name: str) -> Any:
    try:
        return importlib.import_module("torchvision.datasets")
    except ImportError as error:
        raise ImportError(f'{name} needs torchvision: pip install "torchvitals[vision]"') from error


def _examples(pictures: Any, labels: Any) -> Examples:
    """(N, H, W) or (N, H, W, C) bytes -> (N, C, H, W) floats in [0, 1]."""
    x = torch.from_numpy(np.asarray(pictures)).float() / 255
    return Examples(x.unsqueeze(1) if x.ndim == 3 else x.permute(0, 3, 1, 2), torch.as_tensor(labels).long())
