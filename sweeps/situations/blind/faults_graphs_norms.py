"""Graphs that are summed without end, and norms over batches that are not mixed."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.blind.sets import communities, shapes
from sweeps.situations.common import classify
from sweeps.situations.recipes import validation
from sweeps.situations.residual import ResNet
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training


class Gcn(nn.Module):
    """Modules `layers.<i>` and `head`; the graph belongs to the model."""

    def __init__(self, depth: int, *, normalised: bool = True) -> None:
        super().__init__()
        _, edges, _ = communities()
        edges = edges + torch.eye(len(edges))
        root = edges.sum(1).rsqrt()
        self.register_buffer("mix", root[:, None] * edges * root if normalised else edges)
        self.layers = nn.ModuleList(nn.Linear(12 if i == 0 else 32, 32) for i in range(depth))
        for layer in self.layers:
            nn.init.kaiming_normal_(layer.get_parameter("weight"))
        self.head = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        mix = self.get_buffer("mix")
        for layer in self.layers:
            x = F.relu(mix @ layer(x))
        return self.head(x)


def _graph(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 150) -> Training:
    """All of the graph in each step, of which the first 60 nodes are known."""
    x, _, group = communities()

    def loss(model: nn.Module, _batch: object) -> Tensor:
        return F.cross_entropy(model(x)[:60], group[:60])

    def score(model: nn.Module) -> float:
        out = model(x)[60:]
        return ((out.argmax(1) != group[60:]) | ~out.isfinite().all(1)).float().mean().item()

    return Training(
        model=model,
        optimizers=(optimizer,),
        batch=lambda _step: (x, group),
        loss=loss,
        score=score,
        steps=steps,
    )


@register.fault(
    "graph-smoothed-away",
    source="own",
    codes={"TV103", "TV201"},
    where=("layers*", "head"),
    remedies=("two or three layers", "model.residual=true"),
    levels=(Level.BLATANT, Level.MODERATE),
)
def graph_smoothed_away(level: Level | None, seed: int) -> Training:
    """A graph convolutional net of 24 (moderate: 12) layers, after which all nodes look alike."""
    torch.manual_seed(seed)
    model = Gcn({None: 2, Level.BLATANT: 24, Level.MODERATE: 12}[level])
    return _graph(model, torch.optim.Adam(model.parameters(), lr=5e-3))


@register.fault(
    "neighbours-summed",
    source="own",
    codes={"TV104", "TV202", "TV308", "TV404"},
    where=("layers*", "head"),
    remedies=("divide by the degrees",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def neighbours_summed(level: Level | None, seed: int) -> Training:
    """Five layers (moderate: three) sum over neighbours, whose number nobody divides by."""
    torch.manual_seed(seed)
    model = Gcn(3 if level is Level.MODERATE else 5, normalised=level is None)
    return _graph(model, torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9))


@register.fault(
    "one-class-a-batch-under-norm",
    source="own",
    codes={"TV503", "TV406"},
    onset=(0, 150),
    remedies=("mix the classes in each batch",),
)
def one_class_a_batch_under_norm(level: Level | None, seed: int) -> Training:
    """A sampler draws each batch from one class, in random turn; the batch norms of a ResNet standardise away
    what tells the classes apart.
    """
    torch.manual_seed(seed)
    data, model = shapes(), ResNet(8, 2, classes=3)
    training = classify(model, data, seed, lr=0.02, size=32, validate=validation(data))
    if level is not None:
        rows = [(data.y == k).nonzero()[:, 0] for k in range(3)]

        def batch(step: int) -> tuple[Tensor, Tensor]:
            draw = torch.Generator().manual_seed(1_000_003 * seed + step)
            mine = rows[int(torch.randint(0, 3, (), generator=draw))]
            chosen = mine[torch.randint(0, len(mine), (32,), generator=draw)]
            return data.x[chosen], data.y[chosen]

        training.batch = batch
    return training
