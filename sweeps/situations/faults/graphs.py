"""Gradients that never arrive: cut graphs, parts that are not used, hooks that take them away."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify
from sweeps.situations.data import digits, images
from sweeps.situations.networks import Cnn, Gpt, mlp
from sweeps.situations.recipes import recall, speak
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Eyes, Training, plain

CUT = {"TV204"}


class Stages(nn.Module):
    """Three stages and a head; `cut` is put between the second and the third."""

    def __init__(self, cut: str) -> None:
        super().__init__()
        self.cut = cut
        self.stage1, self.stage2 = nn.Linear(64, 12), nn.Linear(12, 12)
        self.stage3, self.head = nn.Linear(12, 12), nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.cut != "no_grad"):
            x = F.relu(self.stage2(F.relu(self.stage1(x))))
        if self.cut == "data":
            x = x.data
        return self.head(F.relu(self.stage3(x)))


@register.fault(
    "data-between-stages",
    source="F37; SO 41780344",
    codes=CUT,
    where=("stage1", "stage2"),
    remedies=("no .data",),
)
def data_between_stages(level: Level | None, seed: int) -> Training:
    """`.data` between two stages of a network cuts the gradient of all that is below."""
    torch.manual_seed(seed)
    return classify(Stages("data" if level else ""), digits(), seed)


@register.fault(
    "stages-without-grad",
    source="F37",
    codes=CUT,
    where=("stage1", "stage2"),
    remedies=("no torch.no_grad()",),
)
def stages_without_grad(level: Level | None, seed: int) -> Training:
    """Two stages run under a `no_grad` that was left from a feature extractor."""
    torch.manual_seed(seed)
    return classify(Stages("no_grad" if level else ""), digits(), seed)


def detached(training: Training, step: int, _eyes: Eyes) -> Tensor:
    """Silences torch's complaint about a detached loss by asking for its gradient again."""
    loss = training.loss(training.model, training.batch(step)).detach().requires_grad_()
    training.optimizer.zero_grad()
    loss.backward()
    training.optimizer.step()
    return loss


@register.fault(
    "loss-detached",
    source="F37",
    codes=CUT,
    remedies=("no detach",),
    certain="no gradient leaves a detached loss",
)
def loss_detached(level: Level | None, seed: int) -> Training:
    """The loss is detached and made to require a gradient again, so that `backward` reaches nothing."""
    torch.manual_seed(seed)
    return classify(mlp((64, 64, 64, 10)), digits(), seed, iterate=detached if level else plain)


class TwoViews(nn.Module):
    """A branch for each half of the features, the second of which can be left out."""

    def __init__(self, uses_second: bool) -> None:
        super().__init__()
        self.uses_second = uses_second
        self.upper, self.lower, self.head = nn.Linear(32, 32), nn.Linear(32, 32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.upper(x[:, :32])
        return self.head(F.relu(hidden + self.lower(x[:, 32:]) if self.uses_second else hidden))


@register.fault(
    "unused-branch", source="F101", codes=CUT, where=("lower",), remedies=("use the branch or remove it",)
)
def unused_branch(level: Level | None, seed: int) -> Training:
    """The branch for half of the features is never called."""
    torch.manual_seed(seed)
    return classify(TwoViews(uses_second=level is None), digits(), seed)


@register.fault(
    "hook-zeroes-gradient", source="own", codes=CUT, where=("conv2",), remedies=("remove the hook",)
)
def hook_zeroes_gradient(level: Level | None, seed: int) -> Training:
    """A hook left from an experiment multiplies the gradient of a convolution by 0."""
    torch.manual_seed(seed)
    model = Cnn(width=4)
    if level is not None:
        for parameter in model.conv2.parameters():
            parameter.register_hook(torch.zeros_like)
    return classify(model, images(), seed)


@register.fault(
    "attention-gradients-zeroed",
    source="F116",
    codes=CUT,
    where=("blocks.*.query", "blocks.*.key", "blocks.*.value"),
    remedies=("remove the hooks",),
)
def attention_gradients_zeroed(level: Level | None, seed: int) -> Training:
    """Hooks zero the gradients of Q, K and V, although all of them count as trainable."""
    torch.manual_seed(seed)
    model = Gpt(32, 24, depth=1, width=16)
    for name, parameter in model.named_parameters():
        if level is not None and any(part in name for part in ("query", "key", "value")):
            parameter.register_hook(torch.zeros_like)
    return speak(model, seed, data=recall(32, 24))


@register.fault(
    "prediction-through-argmax",
    source="own",
    codes=CUT,
    where=("first",),
    remedies=("keep the soft assignment",),
)
def prediction_through_argmax(level: Level | None, seed: int) -> Training:
    """A hard one-hot choice inside of the network, through which no gradient passes."""
    torch.manual_seed(seed)

    class Chooses(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(64, 16), nn.Linear(16, 10)

        def forward(self, x: Tensor) -> Tensor:
            scores = self.first(x)
            chosen = scores.softmax(-1) if level is None else F.one_hot(scores.argmax(-1), 16).float()
            return self.head(chosen)

    model = Chooses()
    return classify(model, digits(), seed, optimizer=torch.optim.Adam(model.parameters(), lr=1e-2))
