"""Optimizers that do not hold what the model trains with."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify
from sweeps.situations.data import digits, images
from sweeps.situations.networks import Cnn, Gpt, mlp
from sweeps.situations.recipes import speak
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training

UNHELD = "parameters that no optimizer holds stay as they were drawn"
ROOT = {"TV305"}


def sgd(model: nn.Module) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)


@register.fault(
    "optimizer-of-copy", source="own", codes=ROOT, remedies=("optimizer of the model itself",), certain=UNHELD
)
def optimizer_of_copy(level: Level | None, seed: int) -> Training:
    """The optimizer holds the parameters of a deep copy, while the original is trained."""
    torch.manual_seed(seed)
    model = Cnn()
    optimizer = sgd(model if level is None else copy.deepcopy(model))
    return classify(model, images(), seed, optimizer=optimizer)


@register.fault(
    "model-made-again", source="F73", codes=ROOT, remedies=("build the optimizer last",), certain=UNHELD
)
def model_made_again(level: Level | None, seed: int) -> Training:
    """The model is made a second time, as in another cell of a notebook; the optimizer keeps the first."""
    torch.manual_seed(seed)
    first, model = Gpt(), Gpt()
    held = model if level is None else first
    return speak(model, seed, optimizer=torch.optim.Adam(held.parameters(), lr=3e-3))


@register.fault(
    "head-replaced-after-optimizer",
    source="F73; accelerate-2665",
    codes=ROOT,
    where=("head",),
    remedies=("build the optimizer last",),
    certain=UNHELD,
)
def head_replaced_after_optimizer(level: Level | None, seed: int) -> Training:
    """The head is replaced after the optimizer was built, and never trains."""
    torch.manual_seed(seed)
    model = mlp((64, 16, 16, 10))
    before = sgd(model)
    model.head = nn.Linear(16, 10)
    return classify(model, digits(), seed, optimizer=sgd(model) if level is None else before)


@register.fault(
    "optimizer-of-head-alone",
    source="own",
    codes=ROOT,
    where=("conv*",),
    certain=UNHELD,
    remedies=("optimizer of all parameters",),
)
def optimizer_of_head_alone(level: Level | None, seed: int) -> Training:
    """The optimizer is left from a linear probe and holds the head alone; the CNN below it stays random."""
    torch.manual_seed(seed)
    model = Cnn()
    return classify(model, images(), seed, optimizer=sgd(model if level is None else model.head))


@register.fault(
    "optimizer-of-frozen",
    source="F70; PyTorch forum 84911",
    codes=ROOT,
    where=("head",),
    certain=UNHELD,
    remedies=("give the optimizer the parameters that train",),
)
def optimizer_of_frozen(level: Level | None, seed: int) -> Training:
    """The backbone is frozen, and the optimizer got the frozen parameters instead of those of the head."""
    torch.manual_seed(seed)
    model = Cnn(width=32, norm=True)
    backbone = [p for name, p in model.named_parameters() if not name.startswith("head")]
    for parameter in backbone:
        parameter.requires_grad_(False)
    held = list(model.head.parameters()) if level is None else backbone
    return classify(model, images(), seed, optimizer=torch.optim.SGD(held, lr=0.5, momentum=0.9))


@register.fault(
    "half-frozen-by-mistake",
    source="F70",
    codes={"TV204", "TV306"},
    where=("conv1", "conv2"),
    remedies=("requires_grad_(True)",),
)
def half_frozen_by_mistake(level: Level | None, seed: int) -> Training:
    """Half of a random CNN is frozen, although the optimizer holds it and was to train it."""
    torch.manual_seed(seed)
    model = Cnn(width=4)
    if level is not None:
        for layer in (model.conv1, model.conv2):
            layer.requires_grad_(False)
    return classify(model, images(), seed, optimizer=sgd(model))


class Listed(nn.Module):
    """Hidden layers in a list of Python, or in a `ModuleList`."""

    def __init__(self, registered: bool) -> None:
        super().__init__()
        layers = [nn.Linear(64, 16), nn.Linear(16, 16), nn.Linear(16, 16)]
        self.layers = nn.ModuleList(layers) if registered else layers
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = F.relu(layer(x))
        return self.head(x)


@register.fault(
    "submodules-in-list",
    source="F78",
    codes=ROOT,
    where=("unregistered*", ""),
    certain=UNHELD,
    remedies=("nn.ModuleList",),
)
def submodules_in_list(level: Level | None, seed: int) -> Training:
    """Hidden layers in a plain list: no part of `parameters()`, so the optimizer never sees them."""
    torch.manual_seed(seed)
    model = Listed(registered=level is None)
    return classify(model, digits(), seed, optimizer=sgd(model))


class Remade(nn.Module):
    """Makes its second layer in `forward`, at every call anew, or once."""

    def __init__(self, remade: bool) -> None:
        super().__init__()
        self.first = nn.Linear(64, 64)
        self.second = None if remade else nn.Linear(64, 64)
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        second = self.second or nn.Linear(64, 64)
        return self.head(F.relu(second(x)))


@register.fault(
    "layer-made-in-forward",
    source="own",
    codes=ROOT,
    where=("unregistered*", ""),
    certain=UNHELD,
    remedies=("make layers in __init__",),
)
def layer_made_in_forward(level: Level | None, seed: int) -> Training:
    """A layer is made inside `forward`, so that every batch passes other random weights."""
    torch.manual_seed(seed)
    model = Remade(remade=level is not None)
    return classify(model, digits(), seed, optimizer=sgd(model))


@register.fault(
    "tied-head-broken",
    source="F102",
    codes=ROOT,
    where=("head",),
    certain=UNHELD,
    remedies=("tie again: head.weight = tokens.weight",),
)
def tied_head_broken(level: Level | None, seed: int) -> Training:
    """Loading a checkpoint gives the tied head a parameter of its own, which the optimizer never saw."""
    torch.manual_seed(seed)
    model = Gpt()
    model.head.weight = model.tokens.weight
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    if level is not None:
        model.head.weight = nn.Parameter(model.tokens.weight.detach().clone())
    return speak(model, seed, optimizer=optimizer)
