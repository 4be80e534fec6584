"""Formulas that divide by 0 or have an infinite slope, at once or on a rare batch."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify
from sweeps.situations.data import Data, digits, raw_digits
from sweeps.situations.networks import mlp
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training

NAN = "not a number, for ever after"


class Pool(nn.Module):
    """Attention pooling over a set of which a mask tells the members; `safe` bears sets without any."""

    def __init__(self, safe: bool) -> None:
        super().__init__()
        self.safe = safe
        self.score = nn.Linear(8, 1)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        nothing = -1e9 if self.safe else float("-inf")
        weights = self.score(x).squeeze(-1).masked_fill(~present, nothing).softmax(-1)
        return (weights.unsqueeze(-1) * x).sum(1)


class SetNet(nn.Module):
    """Rows of an image as a set: blank rows are masked."""

    def __init__(self, safe: bool) -> None:
        super().__init__()
        self.place = nn.Parameter(0.1 * torch.randn(8, 8))
        self.up, self.pool, self.head = nn.Linear(8, 8), Pool(safe), mlp((8, 64, 10))

    def forward(self, x: Tensor) -> Tensor:
        x = x.view(-1, 8, 8)
        return self.head(self.pool(self.up(x) + self.place, x.abs().sum(-1) > 0))


@register.fault(
    "masked-softmax-empty",
    source="F87",
    codes={"TV203"},
    where=("pool*",),
    onset=(0, 60),
    certain=NAN,
    remedies=("a finite mask", "skip sets without members"),
    levels=(Level.BLATANT, Level.MODERATE),
)
def masked_softmax_empty(level: Level | None, seed: int) -> Training:
    """Softmax over a fully masked set: 1 % of the images (moderate: one) are blank."""
    torch.manual_seed(seed)
    data = raw_digits()
    x = data.x / 8
    x[: {None: 12, Level.BLATANT: 12, Level.MODERATE: 1}[level]] = 0
    model = SetNet(safe=level is None)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    blanked = Data(x, data.y, data.x_test / 8, data.y_test)
    return classify(model, blanked, seed, optimizer=optimizer, steps=300)


class Standardise(nn.Module):
    """Divides by the spread of each feature over the batch, or of each row."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x: Tensor) -> Tensor:
        return (x - x.mean(self.dim, keepdim=True)) / (x.std(self.dim, keepdim=True) + self.eps)


@register.fault(
    "zero-variance-feature", source="own", codes={"TV203"}, where=("0",), remedies=("add eps",), certain=NAN
)
def zero_variance_feature(level: Level | None, seed: int) -> Training:
    """A layer standardises features over the batch without eps, and pixels at the border are always 0."""
    torch.manual_seed(seed)
    model = nn.Sequential(Standardise(0, 0.0 if level else 1e-5), mlp((64, 64, 64, 10)))
    return classify(model, raw_digits(), seed)


@register.fault(
    "zero-variance-row",
    source="own",
    codes={"TV203"},
    where=("0",),
    remedies=("add eps",),
    onset=(0, 120),
    certain=NAN,
)
def zero_variance_row(level: Level | None, seed: int) -> Training:
    """A layer standardises each image without eps, and two images of the set are blank."""
    torch.manual_seed(seed)
    data = raw_digits()
    x = data.x.clone()
    x[:2] = 0
    model = nn.Sequential(Standardise(1, 0.0 if level else 1e-5), mlp((64, 64, 64, 10)))
    return classify(model, Data(x, data.y, data.x_test, data.y_test), seed)


def same_digit(level: Level | None):
    """Contrastive loss of pairs of rows, with a distance by hand."""

    def loss(net: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        features, y = net(batch[0]), batch[1]
        left, right = features.chunk(2)
        squared = (left - right).square().sum(-1)
        distance = torch.sqrt(squared if level else squared + 1e-8)
        same = (y.chunk(2)[0] == y.chunk(2)[1]).float()
        return (same * distance + (1 - same) * F.relu(4 - distance)).mean()

    return loss


def nearest_error(data: Data):
    """Share of test rows whose nearest row of the training set is another digit."""

    def score(net: nn.Module) -> float:
        apart = torch.cdist(net(data.x_test), net(data.x[:500]))
        right = data.y[:500][apart.argmin(1)] == data.y_test
        return 1 - (right & apart.isfinite().all(1)).float().mean().item()

    return score


@register.fault(
    "sqrt-at-zero",
    source="own",
    codes={"TV203"},
    onset=(0, 150),
    certain=NAN,
    remedies=("sqrt(x + eps)", "torch.linalg.vector_norm"),
)
def sqrt_at_zero(level: Level | None, seed: int) -> Training:
    """A distance by hand: where a pair is twice the same row, the slope of sqrt at 0 makes the gradient
    inf * 0, while the loss is finite.
    """
    torch.manual_seed(seed)
    data = digits()
    batches = data.batches(64, seed)

    def batch(step: int) -> tuple[Tensor, Tensor]:
        x, y = batches(step)
        if step % 40 == 39:
            x, y = x.clone(), y.clone()
            x[32], y[32] = x[0], y[0]
        return x, y

    model = mlp((64, 64, 16))
    loss = same_digit(level)
    training = classify(model, data, seed, lr=0.02, loss=loss, score=nearest_error(data))
    training.batch = batch
    return training


@register.fault(
    "no-valid-target",
    source="own",
    codes={"TV203"},
    onset=(120, 120),
    certain=NAN,
    remedies=("divide by the number of targets, at least 1",),
)
def no_valid_target(level: Level | None, seed: int) -> Training:
    """The loss is averaged over rows with a label, and the batch of step 120 has none: 0/0."""
    torch.manual_seed(seed)
    data = digits()
    batches = data.batches(64, seed)

    def batch(step: int) -> tuple[Tensor, Tensor]:
        x, y = batches(step)
        return x, (torch.full_like(y, -1) if step == 120 else y)

    def loss(net: nn.Module, rows: tuple[Tensor, Tensor]) -> Tensor:
        labelled = rows[1] >= 0
        each = F.cross_entropy(net(rows[0]), rows[1].clamp_min(0), reduction="none")
        count = labelled.sum()
        return (each * labelled).sum() / (count if level else count.clamp_min(1))

    training = classify(mlp((64, 64, 64, 10)), data, seed, loss=loss)
    training.batch = batch
    return training
