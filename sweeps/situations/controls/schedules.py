"""Learning rates and tasks that change on purpose."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler as lrs

from sweeps.situations.common import classify, error_rate, regress
from sweeps.situations.data import Data, digits, images, teacher
from sweeps.situations.networks import Cnn, Gpt, mlp
from sweeps.situations.recipes import speak, validation
from sweeps.situations.residual import ResNet
from sweeps.situations.situation import register
from sweeps.situations.training import Eyes, Training


def _mlp(seed: int, lr: float, schedule: Callable[[Any], Any], **rest: Any) -> Training:
    """The digits MLP under SGD with momentum and a schedule."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 10))
    sgd = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    return classify(model, digits(), seed, optimizer=sgd, scheduler=schedule(sgd), **rest)


@register.control("warm-up-from-zero", source="H08")
def warm_up_from_zero(seed: int) -> Training:
    """A linear warm-up whose first step has a learning rate of exactly 0."""
    torch.manual_seed(seed)
    model = Gpt()
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    warmup = lrs.LambdaLR(adam, lambda step: min(1.0, step / 40))
    return speak(model, seed, optimizer=adam, scheduler=warmup)


@register.control("long-warm-up", source="H08")
def long_warm_up(seed: int) -> Training:
    """Half of the run is warm-up: for many steps the updates are far smaller than they will be."""
    return _mlp(seed, 0.05, lambda o: lrs.LambdaLR(o, lambda step: min(1.0, (step + 1) / 150)), steps=300)


@register.control("cosine-to-zero", source="H09")
def cosine_to_zero(seed: int) -> Training:
    """A cosine down to 0 at the end of the training, where the updates vanish."""
    torch.manual_seed(seed)
    model = Cnn(norm=True)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return classify(model, images(), seed, optimizer=sgd, scheduler=lrs.CosineAnnealingLR(sgd, 200))


@register.control("linear-to-zero", source="H09")
def linear_to_zero(seed: int) -> Training:
    """A transformer whose learning rate falls linearly to 0 after a short warm-up."""
    torch.manual_seed(seed)
    model = Gpt()
    adam = torch.optim.AdamW(model.parameters(), lr=4e-3)
    rate = lrs.LambdaLR(adam, lambda step: min((step + 1) / 20, (200 - step) / 180))
    return speak(model, seed, optimizer=adam, scheduler=rate)


@register.control("one-cycle", source="own")
def one_cycle(seed: int) -> Training:
    """One cycle up to a rate that would be far too high for a start, and down to nearly 0."""
    torch.manual_seed(seed)
    model = ResNet()
    sgd = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    cycle = lrs.OneCycleLR(sgd, max_lr=0.5, total_steps=202)
    return classify(model, images(), seed, optimizer=sgd, scheduler=cycle)


@register.control("warm-restarts", source="own")
def warm_restarts(seed: int) -> Training:
    """Cosines that start again at full rate, as in SGDR."""
    return _mlp(seed, 0.1, lambda o: lrs.CosineAnnealingWarmRestarts(o, 50), steps=250)


@register.control("cyclic-rate", source="own")
def cyclic_rate(seed: int) -> Training:
    """A learning rate that goes up and down between 0.001 and 0.1 all the time."""

    def cycle(sgd: torch.optim.SGD) -> lrs.CyclicLR:
        return lrs.CyclicLR(sgd, 1e-3, 0.1, step_size_up=25, cycle_momentum=False)

    return _mlp(seed, 0.1, cycle, steps=250)


@register.control("step-decay", source="own")
def step_decay(seed: int) -> Training:
    """A learning rate divided by 10 at the half and at three quarters."""
    torch.manual_seed(seed)
    model = ResNet()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    return classify(model, images(), seed, optimizer=sgd, scheduler=lrs.MultiStepLR(sgd, [100, 150]))


@register.control("warm-up-stable-decay", source="own")
def warm_up_stable_decay(seed: int) -> Training:
    """Warm-up, a long constant rate, and a steep decay at which the loss drops."""
    torch.manual_seed(seed)
    model, data = mlp((16, 64, 64, 1)), teacher()
    adam = torch.optim.Adam(model.parameters(), lr=1e-2)
    rate = lrs.LambdaLR(adam, lambda step: min(1.0, (step + 1) / 20, (300 - step) / 60))
    return regress(model, data, seed, optimizer=adam, scheduler=rate, steps=300)


class Plateau:
    """`ReduceLROnPlateau`, asked once in a while by the loss that `validate` found."""

    def __init__(self, optimizer: torch.optim.Optimizer, validate: Callable[[nn.Module], float]) -> None:
        self._inner = lrs.ReduceLROnPlateau(optimizer, patience=0, threshold=0.05, factor=0.3, min_lr=5e-4)
        self._validate = validate

    def measure(self, model: nn.Module) -> float:
        loss = self._validate(model)
        self._inner.step(loss)
        return loss


@register.control("reduce-on-plateau", source="own")
def reduce_on_plateau(seed: int) -> Training:
    """The rate falls whenever the validation loss has stopped to fall."""
    torch.manual_seed(seed)
    model, data = mlp((64, 64, 64, 10)), digits()
    sgd = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-3)
    plateau = Plateau(sgd, validation(data))
    return classify(model, data, seed, optimizer=sgd, validate=plateau.measure, steps=300)


@register.control("gradual-unfreezing", source="H11")
def gradual_unfreezing(seed: int) -> Training:
    """First the head learns alone, later the layer below it, at last the whole net."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 10))
    last, first = model.get_submodule("hidden.1"), model.get_submodule("hidden.0")
    last.requires_grad_(False)
    first.requires_grad_(False)

    def iterate(training: Training, step: int, _eyes: Eyes) -> Tensor:
        if step in (60, 120):
            (last if step == 60 else first).requires_grad_(True)
        loss = training.loss(training.model, training.batch(step))
        training.optimizer.zero_grad()
        loss.backward()
        training.optimizer.step()
        return loss

    sgd = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    return classify(model, digits(), seed, optimizer=sgd, iterate=iterate, steps=240)


def _tasks(data: Data, parts: list[Callable[[Tensor], Tensor]], each: int, seed: int) -> Callable[[int], Any]:
    """Batches of 64 of the rows that a part picks by their labels; each part for `each` steps,
    the last on.
    """
    rows = [torch.nonzero(part(data.y))[:, 0] for part in parts]

    def batch(step: int) -> tuple[Tensor, Tensor]:
        mine = rows[min(step // each, len(rows) - 1)]
        draw = torch.Generator().manual_seed(1_000_003 * seed + step)
        taken = mine[torch.randint(0, len(mine), (64,), generator=draw)]
        return data.x[taken], data.y[taken]

    return batch


@register.control("curriculum", source="H43")
def curriculum(seed: int) -> Training:
    """Four digits first, seven later, all ten at last: the loss jumps at known steps and falls again."""
    torch.manual_seed(seed)
    data = digits()
    training = classify(mlp((64, 64, 64, 10)), data, seed, lr=0.03, steps=300)
    parts: list[Callable[[Tensor], Tensor]] = [lambda y: y < 4, lambda y: y < 7, lambda y: y < 10]
    training.batch = _tasks(data, parts, 70, seed)
    return training


@register.control("task-switch", source="H43")
def task_switch(seed: int) -> Training:
    """Pretraining on half of the classes and then on the others, whose first loss is high."""
    torch.manual_seed(seed)
    data = digits()
    training = classify(mlp((64, 64, 64, 10)), data, seed, lr=0.02, steps=240)
    training.batch = _tasks(data, [lambda y: y < 5, lambda y: y >= 5], 100, seed)
    later = data.y_test >= 5
    training.score = error_rate(Data(data.x, data.y, data.x_test[later], data.y_test[later]))
    return training


@register.control("growing-batch", source="own")
def growing_batch(seed: int) -> Training:
    """The batch grows from 16 to 128 instead of the learning rate falling."""
    torch.manual_seed(seed)
    data = digits()
    training = classify(mlp((64, 64, 64, 10)), data, seed, lr=0.03)
    sizes = [data.batches(size, seed) for size in (16, 32, 64, 128)]
    training.batch = lambda step: sizes[min(step // 50, 3)](step)
    return training
