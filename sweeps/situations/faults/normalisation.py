"""Normalisation that does not normalise, or not in the same way when it counts."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify, cross_entropy, error_rate
from sweeps.situations.data import digits, images
from sweeps.situations.networks import Cnn, Gpt, mlp
from sweeps.situations.recipes import speak, validation
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Eyes, Training, plain

GAP = {"TV406"}  # no code tells of statistics; what shows is a validation loss far from that of training


@register.fault(
    "batch-norm-momentum-zero",
    source="F93; TDC miss_infer_bn",
    codes=GAP,
    where=("norm*",),
    onset=(0, 100),
    remedies=("momentum=0.1",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def batch_norm_momentum_zero(level: Level | None, seed: int) -> Training:
    """BatchNorm with momentum 0 (moderate: 1e-3) never learns its running statistics: all is well in
    training and by chance in evaluation.
    """
    torch.manual_seed(seed)
    model = Cnn(norm=True)
    for norm in (model.norm1, model.norm2, model.norm3):
        assert isinstance(norm, nn.BatchNorm2d)
        norm.momentum = {None: 0.1, Level.BLATANT: 0.0, Level.MODERATE: 1e-3}[level]
    return classify(model, images(), seed, validate=validation(images()))


@register.fault(
    "batch-norm-of-two",
    source="F94; SO 43234667",
    codes=GAP,
    where=("hidden*",),
    onset=(0, 100),
    remedies=("norm=layer", "larger batches"),
)
def batch_norm_of_two(level: Level | None, seed: int) -> Training:
    """BatchNorm over batches of two rows, each of which can only be above or below the other."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 10), norm=nn.LayerNorm if level is None else nn.BatchNorm1d)
    check = validation(digits())
    return classify(model, digits(), seed, lr=0.003, size=2, steps=400, validate=check)


@register.fault(
    "predicts-in-train-mode", source="F91; SO 48138483", codes=GAP, onset=(0, 100), remedies=("model.eval()",)
)
def predicts_in_train_mode(level: Level | None, seed: int) -> Training:
    """`model.eval()` is missing wherever the model is validated and used: dropout goes on."""
    torch.manual_seed(seed)
    model = nn.Sequential()
    model.add_module("drop", nn.Dropout(0.5))
    model.add_module("net", mlp((64, 128, 64, 10), act=lambda: nn.Sequential(nn.ReLU(), nn.Dropout(0.5))))

    def score(net: nn.Module) -> float:
        return error_rate(digits())(net.train(level is not None))

    check = validation(digits(), evaluating=level is None)
    return classify(model, digits(), seed, score=score, validate=check)


def in_eval_mode(training: Training, step: int, eyes: Eyes) -> Tensor:
    """Trains on in the mode that the last validation left."""
    training.model.eval()
    return plain(training, step, eyes)


@register.fault(
    "trains-in-eval-mode",
    source="F91",
    codes={"TV103", "TV201", "TV308"},
    where=("hidden*",),
    onset=(0, 100),
    remedies=("model.train() in each epoch",),
)
def trains_in_eval_mode(level: Level | None, seed: int) -> Training:
    """A deep network that lives by its BatchNorm is trained in eval mode, where the norm does nothing."""
    torch.manual_seed(seed)
    model = mlp((64, *[32] * 14, 10), norm=nn.BatchNorm1d, init=None)
    loop = in_eval_mode if level else plain
    return classify(model, digits(), seed, iterate=loop, validate=validation(digits()))


class Normed(nn.Module):
    """Norm over all features of a row, or by a slip over each one alone."""

    def __init__(self, width: int, alone: bool) -> None:
        super().__init__()
        self.alone = alone
        self.first, self.head = nn.Linear(64, width), nn.Linear(width, 10)
        self.norm = nn.LayerNorm(1 if alone else width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = self.norm(x.unsqueeze(-1)).squeeze(-1) if self.alone else self.norm(x)
        return self.head(F.relu(x))


@register.fault(
    "layer-norm-over-one",
    source="own",
    codes={"TV103", "TV204"},
    where=("norm", "first"),
    remedies=("normalise over the features",),
    certain="a number minus itself is 0",
)
def layer_norm_over_one(level: Level | None, seed: int) -> Training:
    """LayerNorm over a dimension of size 1: whatever comes in, its bias comes out."""
    torch.manual_seed(seed)
    return classify(Normed(64, alone=level is not None), digits(), seed)


@register.fault(
    "layer-norm-gain-zero",
    source="F127",
    codes={"TV103", "TV204"},
    where=("norm", "blocks*", "tokens*"),
    remedies=("gain 1",),
    certain="a gain of 0 lets nothing through",
)
def layer_norm_gain_zero(level: Level | None, seed: int) -> Training:
    """The gain of the last LayerNorm is 0 and fixed: its bias is all that the head ever sees."""
    torch.manual_seed(seed)
    model = Gpt()
    if level is not None:
        model.norm.weight.requires_grad_(False).zero_()
    return speak(model, seed)


@register.fault(
    "layer-norm-gain-high",
    source="F127",
    codes={"TV308", "TV404"},
    where=("norm", "blocks*norm*", "head"),
    remedies=("gain 1",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def layer_norm_gain_high(level: Level | None, seed: int) -> Training:
    """Gains of all LayerNorms are 20 (moderate: 5) at the start, and so are scores and logits too large."""
    torch.manual_seed(seed)
    model = Gpt()
    gain = {None: 1.0, Level.BLATANT: 20.0, Level.MODERATE: 5.0}[level]
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.constant_(module.weight, gain)
    return speak(model, seed, loss=cross_entropy)
