"""Tables, series and texts that nobody looked at before the training."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from sweeps.situations.blind.faults_rates import Gru
from sweeps.situations.blind.sets import friedman, reviews, waves
from sweeps.situations.common import classify, regress
from sweeps.situations.data import Data, teacher
from sweeps.situations.networks import mlp
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training

LEVELS = (Level.BLATANT, Level.MODERATE)


@register.fault(
    "missing-coded-as-minus-999",
    source="F48; own",
    codes={"TV502", "TV503"},
    remedies=("mark or fill missing values",),
    levels=LEVELS,
)
def missing_coded(level: Level | None, seed: int) -> Training:
    """A twentieth of the values of five columns (moderate: a fiftieth of one) is -999, the code for missing;
    the twin has the column's mean there.
    """
    torch.manual_seed(seed)
    clean, draw = friedman(), torch.Generator().manual_seed(41)
    columns, share = (5, 0.05) if level is not Level.MODERATE else (1, 0.02)
    value = 0.0 if level is None else -999.0

    def spoilt(x: Tensor) -> Tensor:
        gone = torch.rand(x.shape, generator=draw) < share
        gone[:, columns:] = False
        return x.masked_fill(gone, value)

    data = replace(clean, x=spoilt(clean.x), x_test=spoilt(clean.x_test))
    model = mlp((10, 64, 32, 1))
    return regress(model, data, seed, optimizer=torch.optim.Adam(model.parameters(), lr=2e-3))


class Forecast(nn.Module):
    """Modules `lstm` and `head`; says the next value of a series."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(1, 32, batch_first=True), nn.Linear(32, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][:, -1])


@register.fault(
    "prices-as-they-are",
    source="SO 48760472; own",
    codes={"TV502", "TV404"},
    remedies=("standardise the series",),
    levels=(*LEVELS, Level.SUBTLE),
)
def prices_as_they_are(level: Level | None, seed: int) -> Training:
    """An LSTM forecasts prices around 20,000 (moderate: around 100, subtle: around 20) as they come."""
    torch.manual_seed(seed)
    clean, model = waves(), Forecast()
    level_of, size = {
        None: (0.0, 1.0),
        Level.BLATANT: (2e4, 1500.0),
        Level.MODERATE: (100.0, 10.0),
        Level.SUBTLE: (20.0, 4.0),
    }[level]
    data = Data(*(level_of + size * part for part in (clean.x, clean.y, clean.x_test, clean.y_test)))

    def score(model: nn.Module) -> float:
        return ((model(data.x_test) - data.y_test) / size).square().mean().item()

    adam = torch.optim.Adam(model.parameters(), lr=0.01)
    return regress(model, data, seed, optimizer=adam, size=32, score=score)


@register.fault(
    "every-word-unknown",
    source="own",
    codes={"TV501", "TV103"},
    remedies=("the same case in vocabulary and text",),
    certain="a text of nothing but one word for unknown words says nothing",
)
def every_word_unknown(level: Level | None, seed: int) -> Training:
    """The vocabulary is in lower case and the text is not: every word becomes the unknown one."""
    torch.manual_seed(seed)
    data, model = reviews(shortest=24), Gru()
    if level is not None:
        data = replace(data, x=data.x.clamp(max=1), x_test=data.x_test.clamp(max=1))
    return classify(model, data, seed, optimizer=torch.optim.Adam(model.parameters(), lr=5e-3))


@register.fault(
    "good-reviews-first",
    source="own",
    codes={"TV503"},
    remedies=("shuffle=True",),
    onset=(0, 120),
)
def good_reviews_first(level: Level | None, seed: int) -> Training:
    """A file holds all good reviews and then all bad ones, and is read from top to bottom, epoch by epoch."""
    torch.manual_seed(seed)
    data, model = reviews(), Gru()
    order = data.y.argsort(descending=True, stable=True)
    training = classify(model, data, seed, optimizer=torch.optim.Adam(model.parameters(), lr=5e-3), steps=280)
    if level is not None:
        chunks, turn = order.split(32), torch.randint(0, 1000, (1,)).item()
        training.batch = lambda step: _rows(data, chunks[(step + int(turn)) % len(chunks)])
    return training


def _rows(data: Data, rows: Tensor) -> tuple[Tensor, Tensor]:
    return data.x[rows], data.y[rows]


@register.fault(
    "targets-of-many-units",
    source="F49; own",
    codes={"TV502", "TV404"},
    remedies=("standardise each target",),
    levels=(*LEVELS, Level.SUBTLE),
)
def targets_of_many_units(level: Level | None, seed: int) -> Training:
    """Four targets at once, one of them in grams instead of kilos (moderate, subtle: 50, 10 times the
    others): its errors are all that the loss sees.
    """
    torch.manual_seed(seed)
    clean = teacher(outputs=4)
    unit = torch.tensor(
        [1.0, 1.0, 1.0, {None: 1.0, Level.BLATANT: 1000.0, Level.MODERATE: 50.0, Level.SUBTLE: 10.0}[level]]
    )
    data = replace(clean, y=clean.y * unit, y_test=clean.y_test * unit)
    model = mlp((16, 64, 64, 4), act=nn.Tanh, init=nn.init.xavier_normal_)

    def score(model: nn.Module) -> float:
        return ((model(data.x_test) - data.y_test) / unit).square().mean().item()

    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return regress(model, data, seed, optimizer=adam, score=score, steps=300)
