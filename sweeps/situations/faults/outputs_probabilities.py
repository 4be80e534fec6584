"""Outputs that are no probabilities although the loss takes them for such, or that are so twice."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify
from sweeps.situations.data import Data, cancer, digits
from sweeps.situations.faults.outputs import with_output
from sweeps.situations.networks import mlp
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training


def half_wrong(data: Data, threshold: float) -> Callable[[nn.Module], float]:
    """Error rate of a model of one column that means the second class above the threshold."""

    def score(model: nn.Module) -> float:
        out = model(data.x_test)[:, 0]
        right = ((out > threshold).long() == data.y_test) & torch.isfinite(out)
        return 1.0 - right.float().mean().item()

    return score


def probability_loss(model: nn.Module, batch: Any) -> Tensor:
    """Binary cross-entropy of what is said to be probabilities, clamped so that torch accepts it."""
    x, y = batch
    return F.binary_cross_entropy(model(x)[:, 0].clamp(0, 1), y.float())


@register.fault(
    "relu-output-bce",
    source="F20; SO 44066044",
    codes={"TV405", "TV101"},
    where=("head", "out"),
    remedies=("end in a sigmoid, or use binary_cross_entropy_with_logits",),
)
def relu_output_bce(level: Level | None, seed: int) -> Training:
    """ReLU where a sigmoid belongs, in front of binary cross-entropy: at 0 the loss is 100 and its gradient
    none.
    """
    torch.manual_seed(seed)
    out = nn.Sigmoid() if level is None else nn.ReLU()
    model = with_output(mlp((30, 32, 32, 1)), out)
    return classify(model, cancer(), seed, loss=probability_loss, score=half_wrong(cancer(), 0.5))


@register.fault(
    "sigmoid-twice",
    source="F25; NeuraLint",
    codes={"TV405"},
    where=("head", "out"),
    remedies=("leave one of the two sigmoids out",),
)
def sigmoid_twice(level: Level | None, seed: int) -> Training:
    """A sigmoid as a module and another in the loss: no probability leaves (0.5, 0.73), so nobody is
    negative.
    """
    torch.manual_seed(seed)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x, y = batch
        out = model(x)[:, 0]
        return F.binary_cross_entropy(out if level is None else out.sigmoid(), y.float())

    def score(model: nn.Module) -> float:
        return loss(model, (cancer().x_test, cancer().y_test)).item()

    model = with_output(mlp((30, 32, 32, 1)), nn.Sigmoid())
    return classify(model, cancer(), seed, loss=loss, score=score)


@register.fault(
    "sigmoid-before-logits-loss",
    source="F25; own",
    codes={"TV405"},
    where=("head", "out"),
    remedies=("give binary_cross_entropy_with_logits what the last layer says",),
)
def sigmoid_before_logits_loss(level: Level | None, seed: int) -> Training:
    """A sigmoid in front of binary cross-entropy with logits, which has its own."""
    torch.manual_seed(seed)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x, y = batch
        return F.binary_cross_entropy_with_logits(model(x)[:, 0], y.float())

    def score(model: nn.Module) -> float:
        return loss(model, (cancer().x_test, cancer().y_test)).item()

    net = mlp((30, 32, 32, 1))
    model = net if level is None else with_output(net, nn.Sigmoid())
    return classify(model, cancer(), seed, loss=loss, score=score)


@register.fault(
    "softmax-over-one-unit",
    source="own",
    codes={"TV405", "TV204"},
    where=("head", "out"),
    remedies=("a sigmoid for one unit, or two units",),
    certain="the only share of a whole is 1",
)
def softmax_over_one_unit(level: Level | None, seed: int) -> Training:
    """Softmax over a single output, which is 1 for every sample and has no gradient."""
    torch.manual_seed(seed)
    out = nn.Sigmoid() if level is None else nn.Softmax(dim=1)
    model = with_output(mlp((30, 32, 32, 1)), out)
    return classify(model, cancer(), seed, loss=probability_loss, score=half_wrong(cancer(), 0.5))


@register.fault(
    "softmax-over-batch",
    source="F35; TheDeepChecker wrong_soft",
    codes={"TV405", "TV106"},
    where=("head", "out"),
    remedies=("softmax(dim=-1)",),
    certain="a sample on its own gets the same probability, 1, for every class",
)
def softmax_over_batch(level: Level | None, seed: int) -> Training:
    """Log-softmax over the batch where the classes are meant, as `dim=0` does, in front of nll_loss. In a
    batch it can pass for a classifier; asked about one sample at a time, as in use, it knows nothing.
    """
    torch.manual_seed(seed)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x, y = batch
        return F.nll_loss(model(x), y)

    def score(model: nn.Module) -> float:
        said = torch.cat([model(x) for x in digits().x_test.split(1)])
        return (said.argmax(-1) != digits().y_test).float().mean().item()

    model = with_output(mlp((64, 64, 64, 10)), nn.LogSoftmax(dim=-1 if level is None else 0))
    return classify(model, digits(), seed, loss=loss, score=score)
