"""Downloaded pictures: one sentence without torchvision, the official parts with it."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from models.data.vision import Cifar10, FashionMnist, Mnist


@pytest.mark.parametrize(
    ("kind", "name"), [(Mnist, "MNIST"), (FashionMnist, "FashionMNIST"), (Cifar10, "CIFAR10")]
)
def test_without_torchvision_one_sentence_says_what_to_install(monkeypatch, kind, name):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    with pytest.raises(ImportError) as caught:
        kind()
    assert str(caught.value) == f'{name} needs torchvision: pip install "torchvitals[vision]"'


@pytest.fixture
def torchvision(monkeypatch):
    """The two data set classes as torchvision stores their contents, with a handful of random pictures."""

    def pictures(*shape: int, as_array: bool):
        def load(root, *, train, download):
            assert (root.name, download) == ("data", True)
            count = 40 if train else 10
            data = np.random.default_rng(int(train)).integers(0, 256, (count, *shape), dtype=np.uint8)
            labels = [i % 10 for i in range(count)]
            if as_array:
                return SimpleNamespace(data=data, targets=labels)
            return SimpleNamespace(data=torch.from_numpy(data), targets=torch.tensor(labels))

        return load

    datasets = ModuleType("torchvision.datasets")
    datasets.MNIST = pictures(28, 28, as_array=False)  # pyright: ignore[reportAttributeAccessIssue] -- a stand-in
    datasets.CIFAR10 = pictures(32, 32, 3, as_array=True)  # pyright: ignore[reportAttributeAccessIssue] -- a stand-in
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.datasets", datasets)


@pytest.mark.usefixtures("torchvision")
@pytest.mark.parametrize("kind", [Mnist, Cifar10])
def test_official_test_part_is_kept_and_pictures_have_their_shape(kind):
    data = kind(val_share=0.25)
    data.prepare_data()
    data.setup()
    assert [len(part.x) for part in (data.train, data.val, data.test)] == [30, 10, 10]
    assert all(part.x.shape[1:] == data.in_shape for part in (data.train, data.val, data.test))
    assert data.test.y.tolist() == list(range(10))
