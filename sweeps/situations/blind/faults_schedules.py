"""Schedules, moments and penalties that do not let the training go where it should."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.blind.sets import wine
from sweeps.situations.common import classify, regress
from sweeps.situations.data import Data, digits, images
from sweeps.situations.networks import Cnn, mlp
from sweeps.situations.residual import ResNet
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Eyes, Training, plain

TOO_LARGE = {"TV302", "TV402", "TV407"}
LEVELS = (Level.BLATANT, Level.MODERATE)


@register.fault(
    "plateau-by-the-batch",
    source="PyTorch forum; own",
    codes={"TV303", "TV306"},
    onset=(10, 120),
    remedies=("step the scheduler once an epoch", "scheduler.patience=10"),
    levels=LEVELS,
)
def plateau_by_the_batch(level: Level | None, seed: int) -> Training:
    """`ReduceLROnPlateau` sees each batch's loss with a patience of 0 (moderate: 2): any batch that is harder
    than the best one divides the rate by ten.
    """
    torch.manual_seed(seed)
    model = ResNet(8, 2)
    sgd = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    patience = {None: 100, Level.BLATANT: 0, Level.MODERATE: 2}[level]
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(sgd, factor=0.1, patience=patience, eps=0)

    def iterate(training: Training, step: int, eyes: Eyes) -> Tensor:
        loss = plain(training, step, eyes)
        schedule.step(loss.item())
        return loss

    return classify(model, images(), seed, optimizer=sgd, size=32, iterate=iterate)


@register.fault(
    "betas-swapped",
    source="own",
    codes=TOO_LARGE,
    onset=(0, 100),
    remedies=("betas=(0.9, 0.999)",),
)
def betas_swapped(level: Level | None, seed: int) -> Training:
    """Adam with betas (0.999, 0.9): it averages directions over the whole run and scales over ten steps."""
    torch.manual_seed(seed)
    model, x = mlp((64, 64, 16, 64, 64)), digits()
    betas = (0.9, 0.999) if level is None else (0.999, 0.9)
    adam = torch.optim.Adam(model.parameters(), lr=3e-3, betas=betas)
    return regress(model, Data(x.x, x.x, x.x_test, x.x_test), seed, optimizer=adam)


@register.fault(
    "range-test-not-undone",
    source="own",
    codes={"TV302", "TV401", "TV402", "TV202"},
    onset=(20, 70),
    remedies=("restore the weights behind the range test",),
)
def range_test_not_undone(level: Level | None, seed: int) -> Training:
    """A range test takes the rate from 1e-4 to 10 in 60 steps, and the training goes on from there."""
    torch.manual_seed(seed)
    model = mlp((13, 64, 64, 3), init=nn.init.kaiming_uniform_)
    sgd = torch.optim.SGD(model.parameters(), lr=0.05)

    def rate(step: int) -> float:
        return 2e-3 * 10 ** (5 * step / 60) if level is not None and step < 60 else 1.0

    schedule = torch.optim.lr_scheduler.LambdaLR(sgd, rate)
    return classify(model, wine(), seed, optimizer=sgd, size=16, scheduler=schedule)


@register.fault(
    "lasso-over-all-weights",
    source="F68; SO 44641976",
    codes={"TV307"},
    remedies=("a factor of 1e-5",),
    onset=(0, 60),
    levels=LEVELS,
)
def lasso_over_all_weights(level: Level | None, seed: int) -> Training:
    """A sum of absolute weights by hand, with a factor of 0.05 (moderate: 0.01), in the loss of a CNN."""
    torch.manual_seed(seed)
    model = Cnn()
    factor = {None: 1e-6, Level.BLATANT: 0.05, Level.MODERATE: 0.01}[level]

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        lasso = torch.stack([p.abs().sum() for p in model.parameters()]).sum()
        return F.cross_entropy(model(batch[0]), batch[1]) + factor * lasso

    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    return classify(model, images(), seed, optimizer=adam, size=32, loss=loss)
