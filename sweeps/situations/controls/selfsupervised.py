"""Learning without labels: two views of a sample, teachers that follow, words by their neighbours."""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify, cross_entropy, error_rate, loss_on_test
from sweeps.situations.data import Data, digits, standardised
from sweeps.situations.loops import follow
from sweeps.situations.networks import mlp
from sweeps.situations.situation import register
from sweeps.situations.training import Eyes, Training


def _view(x: Tensor, seed: int) -> Tensor:
    """Noise on the pixels, and a third of them put out."""
    draw = torch.Generator().manual_seed(seed)
    kept = (torch.rand(x.shape, generator=draw) > 0.33).float()
    return kept * (x + 0.3 * torch.randn(x.shape, generator=draw))


def _views(data: Data, seed: int) -> Data:
    """Two views side by side as `x`, and the row as `y`."""
    x, x_test = (torch.cat([_view(x, seed + 1), _view(x, seed + 2)], 1) for x in (data.x, data.x_test))
    return Data(x, torch.arange(len(x)), x_test, torch.arange(len(x_test)))


def _stranger(model: nn.Module, data: Data) -> float:
    """Share of views whose nearest training view is of another digit."""
    known, asked = (F.normalize(model(x[:, :64])) for x in (data.x, data.x_test))
    found = digits().y[(asked @ known.T).argmax(1)]
    return (found != digits().y_test).float().mean().item()


def _info_nce(model: nn.Module, batch: Any) -> Tensor:
    """Each view has to find its other among all of the batch, at a temperature of 0.5."""
    z = F.normalize(torch.cat([model(part) for part in batch[0].chunk(2, 1)]))
    n = len(z) // 2
    alike = (z @ z.T / 0.5).fill_diagonal_(-1e9)
    return F.cross_entropy(alike, torch.arange(2 * n).roll(n))


@register.control("simclr", source="H38")
def simclr(seed: int) -> Training:
    """Contrastive learning of digits: the loss begins at ln 127 and falls by little."""
    torch.manual_seed(seed)
    data, model = _views(digits(), 0), nn.Sequential(mlp((64, 64, 64)), nn.ReLU(), nn.Linear(64, 16))
    adam = torch.optim.Adam(model.parameters(), lr=2e-3)
    return classify(
        model,
        data,
        seed,
        optimizer=adam,
        loss=_info_nce,
        score=lambda model: _stranger(model, data),
        steps=400,
    )


class Byol(nn.Module):
    """Modules `online`, `predictor` and `target`, which gets no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.online = mlp((64, 128, 16), norm=nn.BatchNorm1d)
        self.predictor = mlp((16, 64, 16), norm=nn.BatchNorm1d)
        self.target = copy.deepcopy(self.online).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.online(x)

    def loss(self, one: Tensor, two: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = self.target(two), self.target(one)
        given = self.predictor(self.online(one)), self.predictor(self.online(two))
        return sum(
            (2 - 2 * F.cosine_similarity(g, w).mean() for g, w in zip(given, wanted, strict=True)),
            torch.zeros(()),
        )


@register.control("byol", source="H39")
def byol(seed: int) -> Training:
    """A net learns what a slow average of itself says of another view."""
    torch.manual_seed(seed)
    data, model = _views(digits(), 0), Byol()

    def iterate(training: Training, step: int, _eyes: Eyes) -> Tensor:
        loss = model.loss(*training.batch(step)[0].chunk(2, 1))
        training.optimizer.zero_grad()
        loss.backward()
        training.optimizer.step()
        follow(model.target, model.online, 0.97)
        return loss

    learnt = [*model.online.parameters(), *model.predictor.parameters()]
    return classify(
        model,
        data,
        seed,
        optimizer=torch.optim.Adam(learnt, lr=2e-3),
        iterate=iterate,
        score=lambda _model: _stranger(model, data),
        steps=400,
    )


class Taught(nn.Module):
    """Modules `student` and `teacher`."""

    def __init__(self) -> None:
        super().__init__()
        self.student = mlp((64, 64, 64, 10))
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.teacher(x)


@register.control("mean-teacher", source="H39")
def mean_teacher(seed: int) -> Training:
    """Few labels, and a teacher that is the average of the student and tells it of the rest."""
    torch.manual_seed(seed)
    data, model = digits(), Taught()

    def iterate(training: Training, step: int, _eyes: Eyes) -> Tensor:
        x, y = training.batch(step)
        said = model.student(_view(x, step))
        with torch.no_grad():
            wanted = model.teacher(x).softmax(-1)
        loss = F.cross_entropy(said[:16], y[:16]) + F.mse_loss(said.softmax(-1), wanted)
        training.optimizer.zero_grad()
        loss.backward()
        training.optimizer.step()
        follow(model.teacher, model.student, 0.95)
        return loss

    sgd = torch.optim.SGD(model.student.parameters(), lr=0.05, momentum=0.9)
    return classify(model, data, seed, optimizer=sgd, iterate=iterate, steps=300)


@register.control("masked-autoencoder", source="own")
def masked_autoencoder(seed: int) -> Training:
    """A third of the pixels are put out and have to be told from the others."""
    torch.manual_seed(seed)
    base = digits()

    def pair(x: Tensor) -> tuple[Tensor, Tensor]:
        return _view(x, len(x)), x.clamp(-3, 3)

    data = Data(*pair(base.x), *pair(base.x_test))
    model = mlp((64, 128, 128, 64))

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return F.mse_loss(model(batch[0]), batch[1])

    adam = torch.optim.Adam(model.parameters(), lr=2e-3)
    return classify(model, data, seed, optimizer=adam, loss=loss, score=loss_on_test(data, loss), steps=400)


@register.control("rotation-pretext", source="own")
def rotation_pretext(seed: int) -> Training:
    """Digits turned by a quarter, a half or three quarters, and the question by how much."""
    torch.manual_seed(seed)
    base = digits()

    def turned(x: Tensor) -> tuple[Tensor, Tensor]:
        image = x.view(-1, 8, 8)
        all_four = torch.cat([torch.rot90(image, k, (1, 2)).flatten(1) for k in range(4)])
        return standardised(all_four), torch.arange(4).repeat_interleave(len(x))

    data, model = Data(*turned(base.x), *turned(base.x_test)), mlp((64, 64, 64, 4))
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    score = error_rate(data)
    return classify(model, data, seed, optimizer=adam, loss=cross_entropy, score=score, steps=300)
