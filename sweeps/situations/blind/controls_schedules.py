"""Less common optimizers and schedules, at rates that suit them."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, update_bn

from sweeps.situations.blind.sets import friedman, prose, spirals
from sweeps.situations.common import classify, error_rate, regress
from sweeps.situations.data import digits, images
from sweeps.situations.networks import Cnn, Gpt, Lstm, mlp
from sweeps.situations.recipes import speak
from sweeps.situations.residual import ResNet
from sweeps.situations.situation import register
from sweeps.situations.training import Eyes, Training, plain


@register.control("adadelta-at-rate-one", source="H25; own")
def adadelta_at_rate_one(seed: int) -> Training:
    """Adadelta at its own rate of 1, which is not that of anything else."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 10))
    return classify(
        model, digits(), seed, optimizer=torch.optim.Adadelta(model.parameters(), lr=1.0), steps=300
    )


@register.control("adamax-cnn", source="own")
def adamax_cnn(seed: int) -> Training:
    """A CNN under Adamax, which divides by the largest gradient there was."""
    torch.manual_seed(seed)
    model = Cnn(norm=True)
    return classify(model, images(), seed, optimizer=torch.optim.Adamax(model.parameters(), lr=5e-3))


@register.control("rprop-full-batch", source="own")
def rprop_full_batch(seed: int) -> Training:
    """Rprop on all rows at once: each weight has a step of its own, which grows and shrinks."""
    torch.manual_seed(seed)
    data, model = friedman(), mlp((10, 32, 1), act=nn.Tanh, init=nn.init.xavier_normal_)
    training = regress(model, data, seed, optimizer=torch.optim.Rprop(model.parameters(), lr=1e-3))
    training.batch = lambda _step: (data.x, data.y)
    return training


@register.control("sgd-rate-five-for-a-small-loss", source="own")
def sgd_rate_five(seed: int) -> Training:
    """Plain SGD at a rate of 5, which suits a squared error that is averaged over 64 pixels of 0 to 1."""
    torch.manual_seed(seed)
    model = nn.Sequential(mlp((64, 64, 16)), nn.ReLU(), nn.Linear(16, 64), nn.Sigmoid())
    rows = digits()
    x, x_test = (rows.x.clamp(-1, 1) + 1) / 2, (rows.x_test.clamp(-1, 1) + 1) / 2
    data = type(rows)(x, x, x_test, x_test)
    return regress(model, data, seed, optimizer=torch.optim.SGD(model.parameters(), lr=5.0), steps=400)


@register.control("inverse-root-schedule", source="own")
def inverse_root_schedule(seed: int) -> Training:
    """The schedule of the first transformer: up for 40 steps, then down by the root of the step."""
    torch.manual_seed(seed)
    model = Gpt(27, pre=False)
    adam = torch.optim.Adam(model.parameters(), lr=1.0, betas=(0.9, 0.98), eps=1e-9)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        adam, lambda step: 0.15 * 32**-0.5 * min((step + 1) ** -0.5, (step + 1) * 40**-1.5)
    )
    return speak(model, seed, data=prose(), optimizer=adam, scheduler=schedule)


@register.control("warm-then-polynomial", source="own")
def warm_then_polynomial(seed: int) -> Training:
    """An LSTM whose rate goes up for 20 steps and falls by a square to 0, by a `SequentialLR`."""
    torch.manual_seed(seed)
    model = Lstm(27)
    adam = torch.optim.NAdam(model.parameters(), lr=0.015)
    parts = [
        torch.optim.lr_scheduler.LinearLR(adam, 0.05, total_iters=20),
        torch.optim.lr_scheduler.PolynomialLR(adam, 180, 2.0),
    ]
    schedule = torch.optim.lr_scheduler.SequentialLR(adam, parts, [20])
    return speak(model, seed, data=prose(), optimizer=adam, scheduler=schedule)


@register.control("averaged-at-the-end", source="H44; own")
def averaged_at_the_end(seed: int) -> Training:
    """Stochastic weight averaging over the last 80 steps at a constant rate; the average is what is used."""
    torch.manual_seed(seed)
    data, model = images(), ResNet(8, 2)
    average = AveragedModel(model)
    sgd = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    def iterate(training: Training, step: int, eyes: Eyes) -> Tensor:
        loss = plain(training, step, eyes)
        if step >= 120:
            average.update_parameters(model)
        return loss

    def score(_model: nn.Module) -> float:
        update_bn(data.x.split(200), average)
        average.eval()
        return error_rate(data)(average)

    return classify(model, data, seed, optimizer=sgd, iterate=iterate, score=score)


@register.control("validated-by-a-slow-copy", source="H44; own")
def validated_by_a_slow_copy(seed: int) -> Training:
    """A moving average of the weights lives beside the model, for validation alone."""
    torch.manual_seed(seed)
    data, model = images(), Cnn()
    slow = copy.deepcopy(model).requires_grad_(requires_grad=False)

    def iterate(training: Training, step: int, eyes: Eyes) -> Tensor:
        loss = plain(training, step, eyes)
        with torch.no_grad():
            for kept, moved in zip(slow.parameters(), model.parameters(), strict=True):
                kept.lerp_(moved, 0.05)
        return loss

    def validate(_model: nn.Module) -> float:
        with torch.no_grad():
            return F.cross_entropy(slow(data.x_test), data.y_test).item()

    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    return classify(
        model,
        data,
        seed,
        optimizer=adam,
        size=32,
        iterate=iterate,
        validate=validate,
        score=lambda _: validate(slow),
    )


@register.control("spirals-by-silu", source="own")
def spirals_by_silu(seed: int) -> Training:
    """Two spirals by two SiLU layers under SGD with momentum."""
    torch.manual_seed(seed)
    model = mlp((2, 32, 32, 2), act=nn.SiLU)
    sgd = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    return classify(model, spirals(), seed, optimizer=sgd, steps=400)
