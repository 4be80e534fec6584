"""Learning rates that are far too high or far too low."""

import torch
from torch.optim.lr_scheduler import LambdaLR

from sweeps.situations.common import classify, regress
from sweeps.situations.data import digits, images, language, teacher
from sweeps.situations.networks import Cnn, Gpt, Lstm, mlp
from sweeps.situations.recipes import speak
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training

HIGH = {"TV302", "TV402", "TV407"}  # the updates, what they do to the loss, and how they do it
LOWER, HIGHER = ("optimizer.lr / 10", "optimizer.lr=1e-3"), ("optimizer.lr * 100", "optimizer.lr=1e-3")
ALL = tuple(Level)


@register.fault(
    "sgd-lr-high-mlp", source="F58; SO 34743847", codes=HIGH, onset=(0, 20), remedies=LOWER, levels=ALL
)
def sgd_lr_high_mlp(level: Level | None, seed: int) -> Training:
    """An MLP under SGD with momentum whose lr is 5 to 100 times too high."""
    torch.manual_seed(seed)
    lr = {None: 0.05, Level.BLATANT: 5.0, Level.MODERATE: 1.0, Level.SUBTLE: 0.25}[level]
    return classify(mlp((64, 64, 64, 10)), digits(), seed, lr=lr)


@register.fault(
    "sgd-lr-high-cnn", source="F58; SO 48934338", codes=HIGH, onset=(0, 20), remedies=LOWER, levels=ALL
)
def sgd_lr_high_cnn(level: Level | None, seed: int) -> Training:
    """A small CNN under SGD with momentum whose lr is 10 to 100 times too high."""
    torch.manual_seed(seed)
    lr = {None: 0.05, Level.BLATANT: 5.0, Level.MODERATE: 1.0, Level.SUBTLE: 0.5}[level]
    return classify(Cnn(), images(), seed, lr=lr)


@register.fault("sgd-lr-high-lstm", source="F58", codes=HIGH, onset=(0, 40), remedies=LOWER, levels=ALL)
def sgd_lr_high_lstm(level: Level | None, seed: int) -> Training:
    """An LSTM language model under SGD with momentum whose lr is 20 to 100 times too high."""
    torch.manual_seed(seed)
    lr = {None: 0.5, Level.BLATANT: 50.0, Level.MODERATE: 20.0, Level.SUBTLE: 10.0}[level]
    model = Lstm()
    return speak(model, seed, optimizer=torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9))


@register.fault("sgd-lr-high-gpt", source="F58", codes=HIGH, onset=(0, 40), remedies=LOWER, levels=ALL)
def sgd_lr_high_gpt(level: Level | None, seed: int) -> Training:
    """A small transformer under SGD with momentum whose lr is 10 to 100 times too high."""
    torch.manual_seed(seed)
    lr = {None: 0.1, Level.BLATANT: 10.0, Level.MODERATE: 3.0, Level.SUBTLE: 1.0}[level]
    model = Gpt()
    return speak(model, seed, optimizer=torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9))


@register.fault(
    "sgd-lr-high-regression", source="F58; SO 48385830", codes=HIGH, onset=(0, 20), remedies=LOWER, levels=ALL
)
def sgd_lr_high_regression(level: Level | None, seed: int) -> Training:
    """A regression by a tanh MLP under plain SGD at 12 to 100 times a good lr."""
    torch.manual_seed(seed)
    lr = {None: 0.05, Level.BLATANT: 5.0, Level.MODERATE: 1.0, Level.SUBTLE: 0.6}[level]
    model = mlp((16, 64, 64, 1), act=torch.nn.Tanh, init=torch.nn.init.xavier_normal_)
    return regress(model, teacher(), seed, optimizer=torch.optim.SGD(model.parameters(), lr=lr))


@register.fault(
    "adam-lr-high-cnn", source="F59; FacialKeypoints", codes=HIGH, onset=(0, 10), remedies=LOWER, levels=ALL
)
def adam_lr_high_cnn(level: Level | None, seed: int) -> Training:
    """A small CNN under Adam with the lr of somebody's SGD."""
    torch.manual_seed(seed)
    lr = {None: 3e-3, Level.BLATANT: 1.0, Level.MODERATE: 0.3, Level.SUBTLE: 0.1}[level]
    model = Cnn()
    return classify(model, images(), seed, optimizer=torch.optim.Adam(model.parameters(), lr=lr))


@register.fault("adam-lr-high-gpt", source="F59", codes=HIGH, onset=(0, 10), remedies=LOWER, levels=ALL)
def adam_lr_high_gpt(level: Level | None, seed: int) -> Training:
    """A small transformer under Adam whose lr is 30 to 300 times too high."""
    torch.manual_seed(seed)
    lr = {None: 3e-3, Level.BLATANT: 1.0, Level.MODERATE: 0.3, Level.SUBTLE: 0.1}[level]
    return speak(Gpt(), seed, lr=lr)


@register.fault("adam-lr-high-mlp", source="F59; TDC", codes=HIGH, onset=(0, 10), remedies=LOWER, levels=ALL)
def adam_lr_high_mlp(level: Level | None, seed: int) -> Training:
    """A digits MLP under Adam whose lr is 30 to 300 times too high."""
    torch.manual_seed(seed)
    lr = {None: 3e-3, Level.BLATANT: 1.0, Level.MODERATE: 0.3, Level.SUBTLE: 0.1}[level]
    model = mlp((64, 64, 64, 10))
    return classify(model, digits(), seed, optimizer=torch.optim.Adam(model.parameters(), lr=lr))


@register.fault(
    "sgd-lr-low", source="F60; SO 59106542", codes={"TV303"}, onset=(0, 199), remedies=HIGHER, levels=ALL
)
def sgd_lr_low(level: Level | None, seed: int) -> Training:
    """A CNN under SGD whose lr is 50 to 10,000 times too low: the loss is a straight, flat line."""
    torch.manual_seed(seed)
    lr = {None: 0.05, Level.BLATANT: 5e-6, Level.MODERATE: 5e-5, Level.SUBTLE: 1e-3}[level]
    return classify(Cnn(), images(), seed, lr=lr)


@register.fault(
    "adam-lr-low", source="F60; TDC low_lr", codes={"TV303"}, onset=(0, 199), remedies=HIGHER, levels=ALL
)
def adam_lr_low(level: Level | None, seed: int) -> Training:
    """A transformer under Adam whose lr is 100 to 10,000 times too low."""
    torch.manual_seed(seed)
    lr = {None: 3e-3, Level.BLATANT: 3e-7, Level.MODERATE: 3e-6, Level.SUBTLE: 3e-5}[level]
    return speak(Gpt(), seed, lr=lr)


@register.fault(
    "lr-zero-by-lambda",
    source="own",
    codes={"TV306", "TV303"},
    remedies=("scheduler=constant",),
    certain="a learning rate of 0 moves nothing",
)
def lr_zero_by_lambda(level: Level | None, seed: int) -> Training:
    """A schedule by hand divides integers with `//`, so that the lr is 0 from the first step to the last."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    left = (lambda step: (200 - step) / 200) if level is None else (lambda step: (199 - step) // 200)
    return classify(model, digits(), seed, optimizer=optimizer, scheduler=LambdaLR(optimizer, left))


@register.fault(
    "lr-low-for-one-group",
    source="own",
    codes={"TV303"},
    where=("blocks*", "tokens", "positions"),
    onset=(0, 199),
    remedies=("one lr for all groups",),
)
def lr_low_for_one_group(level: Level | None, seed: int) -> Training:
    """The group of all layers but the head got the lr meant for fine-tuning, although they are random."""
    torch.manual_seed(seed)
    model = Gpt(width=16)
    body = [p for name, p in model.named_parameters() if not name.startswith("head")]
    groups = [{"params": body, "lr": 3e-3 if level is None else 1e-7}, {"params": model.head.parameters()}]
    return speak(model, seed, data=language(), optimizer=torch.optim.Adam(groups, lr=3e-3))
