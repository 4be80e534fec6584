"""Sets that the blind situations share, and a net that knows a part of one."""

import math
from functools import cache

import torch
from sklearn.datasets import load_wine, make_friedman1
from torch import Tensor

from sweeps.situations.common import classify
from sweeps.situations.data import Data, images, split, standardised
from sweeps.situations.networks import Cnn
from sweeps.situations.training import run

SIDE = 12
WORDS = (
    "the",
    "a",
    "small",
    "old",
    "red",
    "quick",
    "cat",
    "dog",
    "bird",
    "sees",
    "likes",
    "under",
    "near",
    "tree",
)
LETTERS = " abcdefghijklmnopqrstuvwxyz"


@cache
def wine() -> Data:
    """178 wines, 13 standardised features, 3 classes."""
    x, y = load_wine(return_X_y=True)
    return split(standardised(torch.tensor(x, dtype=torch.float32)), torch.tensor(y))


@cache
def friedman() -> Data:
    """Ten features of 0 to 1, five of which make the target; all standardised."""
    x, y = make_friedman1(2000, 10, noise=0.5, random_state=3)
    rows, target = torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
    return split(standardised(rows), standardised(target.unsqueeze(1)))


@cache
def reviews(rows: int = 1600, length: int = 24, vocabulary: int = 40, shortest: int = 6) -> Data:
    """Sequences of words, padded with 0 at their ends; the class says whether kind words prevail."""
    draw = torch.Generator().manual_seed(21)
    lengths = torch.randint(shortest, length + 1, (rows, 1), generator=draw)
    words = torch.randint(1, vocabulary, (rows, length), generator=draw) * (torch.arange(length) < lengths)
    kindness = torch.randn(vocabulary, generator=draw)
    kindness = kindness - kindness[1:].mean()
    kindness[0] = 0
    return split(words, (kindness[words].sum(1) > 0).long())


@cache
def spirals(rows: int = 1200) -> Data:
    """Two arms that wind around each other."""
    draw = torch.Generator().manual_seed(22)
    y = torch.arange(rows) % 2
    turn = 0.5 + 4.5 * torch.rand(rows, generator=draw)
    angle = turn + math.pi * y
    x = torch.stack([turn * angle.cos(), turn * angle.sin()], 1) / 2.5
    return split(x + 0.05 * torch.randn(rows, 2, generator=draw), y)


@cache
def waves(rows: int = 1500, length: int = 24) -> Data:
    """Pieces (N, T, 1) of waves of two frequencies, and the value (N, 1) that comes next."""
    draw = torch.Generator().manual_seed(23)
    time = torch.arange(length + 1)
    phase = 2 * math.pi * torch.rand(rows, 2, 1, generator=draw)
    size = 0.5 + torch.rand(rows, 2, 1, generator=draw)
    speed = torch.tensor([0.3, 0.8]).view(1, 2, 1)
    wave = (size * (speed * time + phase).sin()).sum(1)
    wave = wave + 0.05 * torch.randn(wave.shape, generator=draw)
    return split(wave[:, :-1].unsqueeze(-1), wave[:, -1:])


@cache
def prose(rows: int = 900, length: int = 32) -> Data:
    """Letters of sentences of 18 words, and the letters that follow them."""
    draw = torch.Generator().manual_seed(24)
    chosen = torch.randint(0, len(WORDS), (rows * 8,), generator=draw).tolist()
    text = " ".join(WORDS[i] for i in chosen)
    letters = torch.tensor([LETTERS.index(c) for c in text])[: rows * (length + 1)]
    letters = letters[: len(letters) // (length + 1) * (length + 1)].view(-1, length + 1)
    return split(letters[:, :-1], letters[:, 1:])


def _shapes(rows: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Noisy images of a square, a disc or a cross: images, masks, kinds and centres of -1 to 1."""
    draw = torch.Generator().manual_seed(25)
    kind = torch.arange(rows) % 3
    centre = 3 + (SIDE - 7) * torch.rand(rows, 2, generator=draw)
    size = 2 + torch.rand(rows, 1, 1, generator=draw)
    down = (torch.arange(SIDE).view(1, -1, 1) - centre[:, :1, None]).abs()
    right = (torch.arange(SIDE).view(1, 1, -1) - centre[:, 1:, None]).abs()
    square = torch.maximum(down, right) <= size
    disc = down**2 + right**2 <= (1.1 * size) ** 2
    cross = square & (torch.minimum(down, right) < 0.8)
    mask = torch.stack([square, disc, cross], 1)[torch.arange(rows), kind].float().unsqueeze(1)
    image = mask + 0.15 * torch.randn(mask.shape, generator=draw)
    return (image - 0.15) / 0.45, mask, kind, centre / (SIDE / 2) - 1


@cache
def shapes() -> Data:
    """Images (N, 1, 12, 12) and which of three shapes they show."""
    image, _, kind, _ = _shapes(1200)
    return split(image, kind)


@cache
def masks() -> Data:
    """The same images and which of their pixels belong to the shape."""
    image, mask, _, _ = _shapes(1200)
    return split(image, mask)


@cache
def centres() -> Data:
    """The same images and where the shape is."""
    image, _, _, centre = _shapes(1200)
    return split(image, centre)


@cache
def communities(nodes: int = 160, groups: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy features of the nodes of a graph, its adjacency matrix without loops, and their communities."""
    draw = torch.Generator().manual_seed(26)
    group = torch.arange(nodes) % groups
    chance = torch.where(group[:, None] == group, 0.15, 0.01)
    upper = (torch.rand(nodes, nodes, generator=draw) < chance).float().triu(1)
    features = 0.8 * torch.eye(groups)[group].repeat(1, 3) + torch.randn(nodes, 3 * groups, generator=draw)
    return features, upper + upper.T, group


def first_digits() -> Data:
    """Images of the digits 0 to 4 alone."""
    whole = images()
    train, test = whole.y < 5, whole.y_test < 5
    return Data(whole.x[train], whole.y[train], whole.x_test[test], whole.y_test[test])


@cache
def _known() -> dict[str, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(77)
        model = Cnn(norm=True)
        run(classify(model, first_digits(), 77, steps=200))
    return model.state_dict()


def pretrained() -> Cnn:
    """A CNN with batch norm that knows the digits 0 to 4, and has a new head for ten."""
    model = Cnn(norm=True)
    model.load_state_dict({k: v.clone() for k, v in _known().items() if "head" not in k}, strict=False)
    return model
