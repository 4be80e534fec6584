"""Models that know something already: tuned, adapted, probed, or simply resumed."""

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from sweeps.situations.common import classify, error_rate
from sweeps.situations.data import Data, digits, images
from sweeps.situations.networks import Cnn, mlp
from sweeps.situations.situation import register
from sweeps.situations.training import Eyes, Training, plain, run


def _knows_few(seed: int) -> Cnn:
    """A CNN that knows the digits 0 to 4."""
    data = images()
    few = data.y < 5
    model = Cnn()
    known = Data(data.x[few], data.y[few], data.x_test, data.y_test)
    run(
        classify(model, known, seed + 100, optimizer=torch.optim.Adam(model.parameters(), lr=5e-3), steps=150)
    )
    return model


@register.control("fine-tuning", source="own")
def fine_tuning(seed: int) -> Training:
    """A pretrained CNN goes on to all ten digits: a small learning rate for it, a large one for its new
    head.
    """
    torch.manual_seed(seed)
    model = _knows_few(seed)
    model.head = nn.Linear(32, 10)
    nn.init.normal_(model.head.weight, std=0.01)
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


def _pretrained(seed: int) -> Cnn:
    """A CNN with batch norms that knows odd from even."""
    data, model = images(), Cnn(norm=True)
    parity = Data(data.x, data.y % 2, data.x_test, data.y_test % 2)
    run(
        classify(
            model, parity, seed + 100, optimizer=torch.optim.Adam(model.parameters(), lr=5e-3), steps=150
        )
    )
    model.head = nn.Linear(32, 10)
    return model


@register.control("linear-probe", source="H10")
def linear_probe(seed: int) -> Training:
    """A frozen backbone, of which the optimizer knows nothing, and a new head."""
    torch.manual_seed(seed)
    model = _pretrained(seed).requires_grad_(False)
    model.head.requires_grad_(True)
    adam = torch.optim.Adam(model.head.parameters(), lr=3e-2)
    return classify(model, images(), seed, optimizer=adam, steps=250)


@register.control("frozen-in-optimizer", source="H10")
def frozen_in_optimizer(seed: int) -> Training:
    """The same with all parameters given to the optimizer, which skips those without a gradient."""
    torch.manual_seed(seed)
    model = _pretrained(seed).requires_grad_(False)
    model.head.requires_grad_(True)
    return classify(model, images(), seed, optimizer=torch.optim.Adam(model.parameters(), lr=3e-2), steps=250)


@register.control("head-only-in-optimizer", source="own")
def head_only_in_optimizer(seed: int) -> Training:
    """The backbone gets gradients that nobody uses: only the head was given to the optimizer, on purpose."""
    torch.manual_seed(seed)
    model = _pretrained(seed)
    adam = torch.optim.Adam(model.head.parameters(), lr=3e-2)

    def iterate(training: Training, step: int, eyes: Eyes) -> Tensor:
        training.model.zero_grad()
        return plain(training, step, eyes)

    return classify(model, images(), seed, optimizer=adam, iterate=iterate, steps=250)


@register.control("frozen-norm-statistics", source="own")
def frozen_norm_statistics(seed: int) -> Training:
    """Fine-tuning with the batch norms in eval mode, as is usual with small batches."""
    torch.manual_seed(seed)
    model = _pretrained(seed)

    def iterate(training: Training, step: int, eyes: Eyes) -> Tensor:
        for module in training.model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return plain(training, step, eyes)

    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return classify(model, images(), seed, optimizer=adam, size=16, iterate=iterate)
