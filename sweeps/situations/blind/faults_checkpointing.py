"""Memory that was saved at the price of a gradient."""

import warnings

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sweeps.situations.blind.sets import shapes
from sweeps.situations.common import classify
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training

UNHELD = "weights that no optimizer holds stay as they were drawn"


@register.fault(
    "stem-checkpointed-reentrant",
    source="PyTorch issue on use_reentrant; own",
    codes={"TV204"},
    where=("stem*",),
    remedies=("use_reentrant=False",),
    certain="a reentrant checkpoint of what needs no gradient has none",
)
def stem_checkpointed_reentrant(level: Level | None, seed: int) -> Training:
    """Memory is saved by a reentrant checkpoint of the first layers, whose input needs no gradient;
    nobody reads the warning.
    """
    torch.manual_seed(seed)
    model = Stemmed(reentrant=level is not None)
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return classify(model, shapes(), seed, optimizer=adam, size=32, steps=150)


class Stemmed(nn.Module):
    """Modules `stem`, `body`, `head`."""

    def __init__(self, *, reentrant: bool) -> None:
        super().__init__()
        self.reentrant = reentrant
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.body = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.head = nn.Linear(144, 3)

    def forward(self, x: Tensor) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            x = checkpoint(self.stem, x, use_reentrant=self.reentrant) if self.training else self.stem(x)
        return self.head(self.body(x).flatten(1))
