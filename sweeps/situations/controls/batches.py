"""Batches of unusual sizes and makings."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify, cross_entropy, error_rate, loss_on_test
from sweeps.situations.data import Data, cancer, digits, images
from sweeps.situations.networks import Cnn, mlp
from sweeps.situations.recipes import validation
from sweeps.situations.situation import register
from sweeps.situations.training import Training


@register.control("few-samples", source="own")
def few_samples(seed: int) -> Training:
    """48 digits, all of them in each batch, known by heart in a few steps."""
    torch.manual_seed(seed)
    data, model = digits(), mlp((64, 32, 10))
    few = Data(data.x[:48], data.y[:48], data.x_test, data.y_test)
    adam = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-3)
    training = classify(model, few, seed, optimizer=adam, score=error_rate(data), steps=150)
    training.batch = lambda _step: (few.x, few.y)
    return training


@register.control("one-sample-a-step", source="H55")
def one_sample_a_step(seed: int) -> Training:
    """Batches of one sample at a small rate: the loss jumps from step to step."""
    torch.manual_seed(seed)
    model = mlp((30, 16, 2))
    sgd = torch.optim.SGD(model.parameters(), lr=0.01)
    return classify(model, cancer(), seed, optimizer=sgd, size=1, steps=500)


@register.control("four-samples-a-step", source="H55")
def four_samples_a_step(seed: int) -> Training:
    """Batches of four digits, whose accuracy is the same for many steps."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 10))
    sgd = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.5)
    return classify(model, digits(), seed, optimizer=sgd, size=4, steps=500)


@register.control("large-batch", source="own")
def large_batch(seed: int) -> Training:
    """All of the training set in a batch, at a high rate."""
    torch.manual_seed(seed)
    return classify(mlp((64, 64, 64, 10)), digits(), seed, lr=0.2, size=1024, steps=150)


@register.control("epochs-in-order", source="own")
def epochs_in_order(seed: int) -> Training:
    """Epochs over data that was shuffled once; the last batch of each is smaller."""
    torch.manual_seed(seed)
    data = digits()
    training = classify(mlp((64, 64, 64, 10)), data, seed, lr=0.05)
    x, y = data.x.split(64), data.y.split(64)
    training.batch = lambda step: (x[step % len(x)], y[step % len(y)])
    return training


@register.control("imbalance-sampled-away", source="own")
def imbalance_sampled_away(seed: int) -> Training:
    """One digit against all others, drawn as often as they are."""
    torch.manual_seed(seed)
    base = digits()
    data = Data(base.x, (base.y == 8).long(), base.x_test, (base.y_test == 8).long())
    training = classify(mlp((64, 64, 2)), data, seed, lr=0.03, score=loss_on_test(data))
    weights = torch.where(data.y == 1, 0.5 / (data.y == 1).sum(), 0.5 / (data.y == 0).sum())

    def batch(step: int) -> tuple[Tensor, Tensor]:
        draw = torch.Generator().manual_seed(1_000_003 * seed + step)
        rows = torch.multinomial(weights, 64, replacement=True, generator=draw)
        return data.x[rows], data.y[rows]

    training.batch = batch
    return training


@register.control("dropout-and-noise", source="H23")
def dropout_and_noise(seed: int) -> Training:
    """Dropout of a half and noisy inputs: the model does better on validation data than in training."""
    torch.manual_seed(seed)
    data = digits()
    model = nn.Sequential(
        nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.5)),
        nn.Sequential(nn.Linear(128, 128), nn.ReLU(), nn.Dropout(0.5)),
        nn.Linear(128, 10),
    )
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    training = classify(
        model, data, seed, optimizer=adam, loss=cross_entropy, validate=validation(data), steps=300
    )
    plain = training.batch

    def batch(step: int) -> tuple[Tensor, Tensor]:
        x, y = plain(step)
        return x + 0.5 * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed + step)), y

    training.batch = batch
    return training


@register.control("shifted-images", source="own")
def shifted_images(seed: int) -> Training:
    """Images moved at random by a pixel, which leaves the digit what it is."""
    torch.manual_seed(seed)
    data, model = images(), Cnn(norm=True)
    training = classify(model, data, seed, lr=0.05, validate=validation(data), steps=250)
    plain = training.batch

    def batch(step: int) -> tuple[Tensor, Tensor]:
        x, y = plain(step)
        draw = torch.Generator().manual_seed(seed + step)
        down, right = (int(i) for i in torch.randint(-1, 2, (2,), generator=draw))
        return F.pad(x, (1, 1, 1, 1), value=float(x.min())).roll((down, right), (2, 3))[:, :, 1:-1, 1:-1], y

    training.batch = batch
    return training
