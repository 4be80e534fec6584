"""Models that know something already: tuned, adapted, probed, or simply resumed."""

from functools import cache

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from sweeps.situations.common import classify, error_rate
from sweeps.situations.data import Data, digits, images
from sweeps.situations.networks import Cnn, mlp
from sweeps.situations.situation import register
from sweeps.situations.training import Eyes, Training, plain, run


@cache
def _learnt(seed: int, norm: bool) -> dict[str, Tensor]:
    """Weights of a CNN that was taught a part: the digits 0 to 4 or, with norms, odd and even."""
    torch.manual_seed(seed)
    data, model = images(), Cnn(norm=norm)
    rows = data.y >= 0 if norm else data.y < 5
    part = Data(data.x[rows], data.y[rows] % (2 if norm else 5), data.x_test, data.y_test)
    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    run(classify(model, part, seed + 100, optimizer=adam, steps=100))
    return {name: value for name, value in model.state_dict().items() if not name.startswith("head")}


def _pretrained(seed: int, *, norm: bool) -> Cnn:
    """That CNN, with a new head of small weights."""
    learnt = _learnt(seed, norm)
    torch.manual_seed(seed)
    model = Cnn(norm=norm)
    model.load_state_dict(learnt, strict=False)
    nn.init.normal_(model.head.weight, std=0.01)
    return model


def _norms_fixed(training: Training, step: int, eyes: Eyes) -> Tensor:
    """The plain loop with batch norms in eval mode."""
    for module in training.model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return plain(training, step, eyes)


@register.control("fine-tuning", source="own")
def fine_tuning(seed: int) -> Training:
    """A pretrained CNN goes on to all ten digits: a small learning rate for it, a large one for its new
    head.
    """
    model = _pretrained(seed, norm=False)
    body = [p for name, p in model.named_parameters() if not name.startswith("head")]
    groups = [{"params": body, "lr": 1e-3}, {"params": model.head.parameters(), "lr": 1e-2}]
    return classify(model, images(), seed, optimizer=torch.optim.Adam(groups))


@register.control("resumed", source="own")
def resumed(seed: int) -> Training:
    """A training that goes on where it was left, with the state of its optimizer and its decayed rate."""
    torch.manual_seed(seed)
    first = classify(mlp((64, 64, 64, 10)), digits(), seed + 100, lr=0.05, steps=60)
    run(first)
    sgd = first.optimizer
    left = LambdaLR(sgd, lambda step: 1 - step / 200)
    return classify(first.model, digits(), seed, optimizer=sgd, scheduler=left, score=error_rate(digits()))


@register.control("linear-probe", source="H10")
def linear_probe(seed: int) -> Training:
    """A frozen backbone, of which the optimizer knows nothing, and a new head."""
    model = _pretrained(seed, norm=True).requires_grad_(False)
    model.head.requires_grad_(True)
    adam = torch.optim.Adam(model.head.parameters(), lr=3e-2)
    return classify(model, images(), seed, optimizer=adam, iterate=_norms_fixed, steps=250)


@register.control("frozen-in-optimizer", source="H10")
def frozen_in_optimizer(seed: int) -> Training:
    """The same with all parameters given to the optimizer, which skips those without a gradient."""
    model = _pretrained(seed, norm=True).requires_grad_(False)
    model.head.requires_grad_(True)
    adam = torch.optim.Adam(model.parameters(), lr=3e-2)
    return classify(model, images(), seed, optimizer=adam, iterate=_norms_fixed, steps=250)


@register.control("head-only-in-optimizer", source="own")
def head_only_in_optimizer(seed: int) -> Training:
    """The backbone gets gradients that nobody uses: only the head was given to the optimizer, on purpose."""
    model = _pretrained(seed, norm=True)
    adam = torch.optim.Adam(model.head.parameters(), lr=3e-2)

    def iterate(training: Training, step: int, eyes: Eyes) -> Tensor:
        training.model.zero_grad()
        return _norms_fixed(training, step, eyes)

    return classify(model, images(), seed, optimizer=adam, iterate=iterate, steps=250)


@register.control("frozen-norm-statistics", source="own")
def frozen_norm_statistics(seed: int) -> Training:
    """Fine-tuning with the batch norms in eval mode, as is usual with small batches."""
    model = _pretrained(seed, norm=True)

    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return classify(model, images(), seed, optimizer=adam, size=16, iterate=_norms_fixed)


def _in_eval_mode(training: Training, step: int, eyes: Eyes) -> Tensor:
    """The plain loop with the whole model in eval mode."""
    training.model.eval()
    return plain(training, step, eyes)


@register.control("fine-tuning-in-eval-mode", source="own")
def fine_tuning_in_eval_mode(seed: int) -> Training:
    """Fine-tuning with the whole model in eval mode: norms keep the statistics of their pretraining."""
    model = _pretrained(seed, norm=True)
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return classify(model, images(), seed, optimizer=adam, size=16, iterate=_in_eval_mode)
