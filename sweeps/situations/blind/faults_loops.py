"""Loops in which a line too many, too few, or copied with the wrong name undoes the work of the others."""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.blind.sets import friedman, prose
from sweeps.situations.common import loss_on_test, regress, squared_error
from sweeps.situations.data import Data, digits, split
from sweeps.situations.networks import Gpt, mlp
from sweeps.situations.recipes import speak
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Eyes, Training, plain


class Autoencoder(nn.Module):
    """Modules `encoder` and `decoder`."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = mlp((64, 48, 12)), mlp((12, 48, 64))

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


@register.fault(
    "zero-grad-of-the-other",
    source="F71; own",
    codes={"TV206"},
    where=("decoder*",),
    onset=(1, 10),
    remedies=("zero_grad of the decoder's optimizer",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def zero_grad_of_the_other(level: Level | None, seed: int) -> Training:
    """Encoder and decoder have an optimizer each; a copied line clears the encoder's twice and never the
    decoder's (moderate: it is cleared at every eighth step).
    """
    torch.manual_seed(seed)
    model, x = Autoencoder(), digits()
    first, second = (
        torch.optim.SGD(part.parameters(), lr=0.1, momentum=0.9) for part in (model.encoder, model.decoder)
    )

    def iterate(training: Training, step: int, _eyes: Eyes) -> Tensor:
        loss = training.loss(model, training.batch(step))
        first.zero_grad()
        if level is None or (level is Level.MODERATE and step % 8 == 0):
            second.zero_grad()
        loss.backward()
        first.step()
        second.step()
        return loss

    training = regress(model, Data(x.x, x.x, x.x_test, x.x_test), seed, optimizer=first, iterate=iterate)
    training.optimizers = (first, second)
    return training


@register.fault(
    "average-written-back",
    source="own",
    codes={"TV303", "TV306"},
    onset=(0, 20),
    remedies=("update the average by the model, not the model by the average",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def average_written_back(level: Level | None, seed: int) -> Training:
    """A moving average of the weights is kept with its arguments swapped: each step the model goes back
    99.9 % (moderate: half) of the way to the copy from the start.
    """
    torch.manual_seed(seed)
    model = Gpt(27)
    average = copy.deepcopy(model).requires_grad_(requires_grad=False)
    keep = {None: 0.0, Level.BLATANT: 0.999, Level.MODERATE: 0.5}[level]

    def iterate(training: Training, step: int, eyes: Eyes) -> Tensor:
        loss = plain(training, step, eyes)
        with torch.no_grad():
            for slow, fast in zip(average.parameters(), model.parameters(), strict=True):
                if level is None:
                    slow.lerp_(fast, 0.001)
                else:
                    fast.lerp_(slow, keep)
        return loss

    return speak(model, seed, data=prose(), iterate=iterate)


class Factors(nn.Module):
    """Ratings from `users` and `items`, beside biases of both: modules `user_bias`, `item_bias`."""

    users: Tensor
    items: Tensor

    def __init__(self, *, registered: bool) -> None:
        super().__init__()
        for name in ("users", "items"):
            factors = 0.3 * torch.randn(40, 6)
            setattr(self, name, nn.Parameter(factors) if registered else factors.requires_grad_())
        self.user_bias, self.item_bias = nn.Embedding(40, 1), nn.Embedding(40, 1)

    def forward(self, pairs: Tensor) -> Tensor:
        user, item = pairs.unbind(1)
        liking = (self.users[user] * self.items[item]).sum(1, keepdim=True)
        return liking + self.user_bias(user) + self.item_bias(item)


@register.fault(
    "factors-are-no-parameters",
    source="NeuraLint; own",
    codes={"TV305"},
    where=("users", "items"),
    remedies=("nn.Parameter",),
    certain="a tensor that is no parameter is in no optimizer",
)
def factors_are_no_parameters(level: Level | None, seed: int) -> Training:
    """The factors of a recommender are tensors with `requires_grad=True`, not parameters."""
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(31)
    true = torch.randn(2, 40, 3, generator=draw)
    pairs = torch.cartesian_prod(torch.arange(40), torch.arange(40))
    ratings = (true[0][pairs[:, 0]] * true[1][pairs[:, 1]]).sum(1, keepdim=True) / 3**0.5
    model = Factors(registered=level is None)
    adam = torch.optim.Adam(model.parameters(), lr=0.02)
    return regress(model, split(pairs, ratings), seed, optimizer=adam, size=128, steps=300)


@register.fault(
    "loss-averaged-twice",
    source="own",
    codes={"TV303"},
    remedies=("the loss is a mean already",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def loss_averaged_twice(level: Level | None, seed: int) -> Training:
    """The mean loss is divided by the batch size once more, and by the number of batches (moderate: by the
    batch size alone), under SGD.
    """
    torch.manual_seed(seed)
    share = {None: 1, Level.BLATANT: 64 * 22, Level.MODERATE: 64}[level]

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return F.smooth_l1_loss(model(batch[0]), batch[1]) / share

    model, data = mlp((10, 64, 64, 1), act=nn.GELU), friedman()
    sgd = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    return regress(model, data, seed, optimizer=sgd, loss=loss, score=loss_on_test(data, squared_error))
