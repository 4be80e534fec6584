"""Bundled and generated data: documented shapes, honest splits and scales, seeds that do something."""

from typing import Any

import pytest
import sklearn.datasets
import torch

from models.data.base import InMemoryData
from models.data.bundled import (
    DIGIT_PROPERTIES,
    BreastCancer,
    Diabetes,
    Digits,
    DigitsMultilabel,
    Mnist5k,
    Wine,
    digit_properties,
)
from models.data.sequences import Adding, Copy, ModularArithmetic
from models.data.standardise import Standardisation, input_axes
from models.tasks import task_named

SIZES = {
    Wine: 178,
    BreastCancer: 569,
    Diabetes: 442,
    Digits: 1797,
    DigitsMultilabel: 1797,
    Mnist5k: 5000,
    Copy: 2000,
    Adding: 2000,
    ModularArithmetic: 31 * 31,
}


def _ready(kind: type[InMemoryData], **options: Any) -> InMemoryData:
    data = kind(**options)
    data.setup()
    return data


@pytest.mark.parametrize("kind", SIZES)
def test_shapes_and_targets_are_as_declared(kind):
    data = _ready(kind)
    outputs = (data.in_shape[0],) if data.per_position else ()
    for part in (data.train, data.val, data.test):
        assert part.x.shape[1:] == data.in_shape
        logits = torch.zeros(len(part.x), *outputs, data.out_features)
        task_named(data.task, out_features=data.out_features).check(logits, part.y)


@pytest.mark.parametrize("kind", SIZES)
def test_parts_hold_every_example_once(kind):
    data = _ready(kind)
    sizes = [len(part.x) for part in (data.train, data.val, data.test)]
    assert sum(sizes) == SIZES[kind]
    assert sizes[1] == sizes[2] == round(0.15 * SIZES[kind])
    assert data.train_size == sizes[0]


def test_split_is_a_partition_of_the_source():
    data = _ready(ModularArithmetic, modulus=7)
    pairs = torch.cat([part.x for part in (data.train, data.val, data.test)])[:, :2]
    assert sorted(pairs.tolist()) == [[a, b] for a in range(7) for b in range(7)]


@pytest.mark.parametrize("kind", [Wine, Digits])
def test_scaling_is_fitted_on_the_training_part_only(kind):
    data = _ready(kind)
    axes = input_axes(data.train.x)
    assert torch.allclose(data.train.x.mean(axes), torch.zeros(()), atol=1e-4)
    assert torch.allclose(data.train.x.std(axes, correction=0), torch.ones(()), atol=1e-4)
    assert data.test.x.mean(axes).abs().max() > 1e-3


def test_scaling_does_not_read_the_test_part():
    class Poisoned(Wine):
        def load_test(self):
            return super().load()._replace(x=torch.full((178, 13), 1e6))

    class Plain(Wine):
        def load_test(self):
            return super().load()

    assert torch.equal(_ready(Poisoned).train.x, _ready(Plain).train.x)


def test_regression_target_is_standardised_on_the_training_part():
    data = _ready(Diabetes)
    assert data.train.y.mean().item() == pytest.approx(0, abs=1e-5)
    assert data.train.y.std(correction=0).item() == pytest.approx(1, abs=1e-5)
    assert abs(data.test.y.mean().item()) > 1e-3


def test_constant_feature_is_centred_and_stays_finite():
    values = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    assert Standardisation.fitted(values, over=(0,))(values).tolist() == [[-1.0, 0.0], [1.0, 0.0]]


def test_images_share_one_scale_per_channel():
    images = torch.randn(50, 2, 4, 4) * torch.tensor([1.0, 10.0]).view(1, 2, 1, 1)
    scaled = Standardisation.fitted(images, over=input_axes(images))(images)
    assert scaled.std((0, 2, 3), correction=0).tolist() == pytest.approx([1.0, 1.0])
    order = images[:, 0].flatten().argsort()
    assert torch.all(scaled[:, 0].flatten()[order].diff() >= 0)


@pytest.mark.parametrize("kind", [Wine, Copy, Adding])
def test_equal_seeds_give_equal_parts_and_orders_whatever_the_global_state(kind):
    runs = []
    for state in (1, 2):
        torch.manual_seed(state)
        data = _ready(kind, seed=0)
        runs.append([y for _, y in data.train_dataloader()])
    assert all(torch.equal(*batches) for batches in zip(*runs, strict=True))


@pytest.mark.parametrize("kind", SIZES)
def test_another_seed_gives_another_split(kind):
    assert not torch.equal(_ready(kind, seed=0).train.x, _ready(kind, seed=1).train.x)


def test_reading_data_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    list(_ready(Wine).train_dataloader())
    assert torch.equal(torch.get_rng_state(), before)


def test_max_samples_is_the_number_of_examples_in_all_parts():
    data = _ready(Digits, max_samples=100)
    assert [len(part.x) for part in (data.train, data.val, data.test)] == [70, 15, 15]


def test_batches_are_full_unless_there_is_less_than_one():
    assert {len(x) for x, _ in _ready(Wine, batch_size=50).train_dataloader()} == {50}
    assert [len(x) for x, _ in _ready(Wine, batch_size=500).train_dataloader()] == [124]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_samples": 0}, r"^max_samples: 0 is not allowed\. Choices: an integer of at least 6\.$"),
        ({"batch_size": 0}, r"^batch_size: 0 "),
        ({"seed": -1}, r"^seed: -1 "),
        ({"val_share": 1.0}, r"^val_share: 1\.0 .* a number in \[0, 1\)\.$"),
        ({"test_share": 0.0}, r"^number of test examples: 0 .* leave each part at least 2\.$"),
        ({"val_share": 0.0}, r"^number of validation examples: 0 "),
        ({"max_samples": 10, "val_share": 0.5, "test_share": 0.49}, r"^number of training examples: 0 "),
        ({"val_share": 0.6, "test_share": 0.6}, r"^val_share \+ test_share: 1\.2 .* a number in \[0, 1\)\.$"),
    ],
)
def test_parts_without_examples_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        _ready(Wine, **options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Copy(symbols=0), r"^symbols: 0 "),
        (lambda: Copy(delay=0), r"^delay: 0 "),
        (lambda: Adding(steps=1), r"^steps: 1 .* at least 2\.$"),
        (lambda: ModularArithmetic(modulus=2), r"^modulus: 2 .* at least 3\.$"),
    ],
)
def test_impossible_sequences_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_digit_properties_are_arithmetic():
    table = dict(zip(DIGIT_PROPERTIES, digit_properties().T.tolist(), strict=True))
    assert table["even"] == [float(d % 2 == 0) for d in range(10)]
    assert table["prime"] == [float(d > 1 and all(d % k for k in range(2, d))) for d in range(10)]
    assert table["at least five"] == [float(d >= 5) for d in range(10)]
    assert table["multiple of three"] == [float(d % 3 == 0) for d in range(10)]
    assert table["has a closed loop"] == [1, 0, 0, 0, 0, 0, 1, 0, 1, 1]


def test_multilabel_digits_carry_the_properties_of_the_digit_shown():
    digits, labelled = _ready(Digits), _ready(DigitsMultilabel)
    assert torch.equal(digits.train.x, labelled.train.x)
    assert torch.equal(labelled.train.y, digit_properties()[digits.train.y])


def test_digits_are_upright():
    x, _ = sklearn.datasets.load_digits(return_X_y=True)
    assert Digits().load().x[3, 0].tolist() == x[3].reshape(8, 8).tolist()


def test_copy_asks_for_the_first_symbols_at_the_end():
    x, y = Copy(symbols=4, length=3, delay=5).load()
    assert torch.equal(y[:, -3:], x[:, :3])
    assert torch.all(y[:, :-3] == -100)
    assert torch.all(x[:, 7] == 5)
    assert torch.all(x[:, 3:7] == 0)
    assert torch.all(x[:, 8:] == 0)
    assert set(x[:, :3].flatten().tolist()) == {1, 2, 3, 4}


def test_adding_sums_one_marked_number_of_each_half():
    x, y = Adding(steps=9).load()
    numbers, marks = x.unbind(2)
    assert torch.all(marks[:, :4].sum(1) == 1)
    assert torch.all(marks[:, 4:].sum(1) == 1)
    assert torch.allclose((numbers * marks).sum(1, keepdim=True), y)
    assert ((y - 1) ** 2).mean().item() == pytest.approx(1 / 6, rel=0.1)


def test_modular_arithmetic_is_right():
    data = _ready(ModularArithmetic, modulus=11)
    a, b, equals = data.train.x.unbind(1)
    assert torch.equal(data.train.y, (a + b) % 11)
    assert torch.all(equals == 11)
