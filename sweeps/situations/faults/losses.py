"""Losses that are not those of the task, or that take logits for probabilities and the other way round."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify, cross_entropy, loss_on_test, regress, squared_error
from sweeps.situations.data import digits, images, language, teacher
from sweeps.situations.faults.outputs import with_output
from sweeps.situations.networks import Cnn, Gpt, mlp
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training


def one_hot(y: Tensor) -> Tensor:
    """Ten classes as columns of 0 and 1."""
    return F.one_hot(y, 10).float()


@register.fault(
    "softmax-then-cross-entropy",
    source="F27; SO 50032197, 57605741, TheDeepChecker red_soft",
    codes={"TV405"},
    where=("head", "out"),
    remedies=("give cross_entropy what the last layer says",),
)
def softmax_then_cross_entropy(level: Level | None, seed: int) -> Training:
    """Softmax in front of cross-entropy, which has its own: the loss cannot fall below 1.46."""
    torch.manual_seed(seed)
    net = mlp((64, 64, 64, 10))
    model = net if level is None else with_output(net, nn.Softmax(dim=-1))
    return classify(model, digits(), seed, score=loss_on_test(digits()))


@register.fault(
    "softmax-then-cross-entropy-cnn",
    source="F27 on convolutions",
    codes={"TV405"},
    remedies=("give cross_entropy what the last layer says",),
)
def softmax_then_cross_entropy_cnn(level: Level | None, seed: int) -> Training:
    """The same in a CNN, the softmax being a call in the loss."""
    torch.manual_seed(seed)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x, y = batch
        return F.cross_entropy(model(x) if level is None else F.softmax(model(x), dim=1), y)

    return classify(Cnn(), images(), seed, lr=0.05, loss=loss)


@register.fault(
    "softmax-then-cross-entropy-gpt",
    source="F27 on a language model",
    codes={"TV405"},
    remedies=("give cross_entropy what the last layer says",),
)
def softmax_then_cross_entropy_gpt(level: Level | None, seed: int) -> Training:
    """The same in a language model, where the floor is ln(e + 31) - 1 and the loss hardly leaves ln 32."""
    torch.manual_seed(seed)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x, y = batch
        out = model(x).flatten(0, -2)
        return F.cross_entropy(out if level is None else out.softmax(-1), y.flatten())

    def score(model: nn.Module) -> float:
        return loss(model, (language().x_test, language().y_test)).item()

    model = Gpt()
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return classify(model, language(), seed, optimizer=adam, size=16, loss=loss, score=score, steps=120)


@register.fault(
    "nll-on-raw-logits",
    source="own; a log_softmax that was forgotten",
    codes={"TV405"},
    remedies=("log_softmax before nll_loss, or cross_entropy",),
    certain="the loss has no minimum: it falls without end as the logits grow",
)
def nll_on_raw_logits(level: Level | None, seed: int) -> Training:
    """nll_loss of logits that no log_softmax made log-probabilities."""
    torch.manual_seed(seed)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x, y = batch
        return F.nll_loss(F.log_softmax(model(x), -1) if level is None else model(x), y)

    return classify(mlp((64, 64, 64, 10)), digits(), seed, lr=0.02, loss=loss, score=loss_on_test(digits()))


@register.fault(
    "squared-error-of-softmax",
    source="F29; SO 50641866, 38648195, 34673164",
    codes={"TV405", "TV403"},
    remedies=("cross_entropy",),
)
def squared_error_of_softmax(level: Level | None, seed: int) -> Training:
    """Squared error between softmax and one-hot labels: where the net is sure and wrong it has no gradient,
    and elsewhere little.
    """
    torch.manual_seed(seed)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x, y = batch
        return F.mse_loss(model(x).softmax(-1), one_hot(y))

    faulty = cross_entropy if level is None else loss
    return classify(mlp((64, 64, 64, 10)), digits(), seed, loss=faulty, score=loss_on_test(digits()), lr=0.02)


@register.fault(
    "cross-entropy-for-regression",
    source="F30; SO 46642627, TheDeepChecker",
    codes={"TV405", "TV204"},
    remedies=("mse_loss",),
    certain="softmax over one column is 1, so the loss is 0 whatever the net says",
)
def cross_entropy_for_regression(level: Level | None, seed: int) -> Training:
    """Cross-entropy of one column with targets that are numbers: constant in the weights."""
    torch.manual_seed(seed)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x, y = batch
        return F.cross_entropy(model(x), y)

    faulty = squared_error if level is None else loss
    return regress(mlp((16, 64, 64, 1)), teacher(), seed, loss=faulty)


@register.fault(
    "squared-error-of-labels",
    source="F30; TheDeepChecker",
    codes={"TV405"},
    remedies=("cross_entropy with one output for each class",),
)
def squared_error_of_labels(level: Level | None, seed: int) -> Training:
    """Digits as a regression of the label's number: 3 is a mean of 1 and 5 (the twin has ten outputs)."""
    torch.manual_seed(seed)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x, y = batch
        return F.mse_loss(model(x)[:, 0], y.float())

    def score(model: nn.Module) -> float:
        out = model(digits().x_test)
        said = out.argmax(-1) if level is None else out[:, 0].round().long()
        return (said != digits().y_test).float().mean().item()

    faulty, outputs, lr = (cross_entropy, 10, 0.05) if level is None else (loss, 1, 0.005)
    return classify(mlp((64, 64, 64, outputs)), digits(), seed, lr=lr, loss=faulty, score=score)


@register.fault(
    "binary-loss-of-softmax",
    source="F31; SO 57326611, 41327601",
    codes={"TV405"},
    remedies=("cross_entropy",),
)
def binary_loss_of_softmax(level: Level | None, seed: int) -> Training:
    """Binary cross-entropy, averaged over ten columns, of a softmax: a fifth of the loss and a tenth of the
    gradient, at the learning rate that suited cross-entropy.
    """
    torch.manual_seed(seed)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x, y = batch
        return F.binary_cross_entropy(model(x).softmax(-1), one_hot(y))

    faulty = cross_entropy if level is None else loss
    return classify(
        mlp((64, 64, 64, 10)), digits(), seed, lr=0.01, loss=faulty, steps=100, score=loss_on_test(digits())
    )


@register.fault(
    "kl-of-probabilities",
    source="own; kl_div wants log-probabilities",
    codes={"TV405"},
    remedies=("give kl_div log_softmax",),
)
def kl_of_probabilities(level: Level | None, seed: int) -> Training:
    """kl_div of a softmax where log_softmax is wanted: a linear reward for the right class."""
    torch.manual_seed(seed)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x, y = batch
        said = model(x).log_softmax(-1) if level is None else model(x).softmax(-1)
        return F.kl_div(said, one_hot(y) * 0.9 + 0.01, reduction="batchmean")

    def score(model: nn.Module) -> float:
        target = one_hot(digits().y_test) * 0.9 + 0.01
        return F.kl_div(model(digits().x_test).log_softmax(-1), target, reduction="batchmean").item()

    return classify(mlp((64, 64, 64, 10)), digits(), seed, loss=loss, score=score)
