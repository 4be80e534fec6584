"""One part of a network that starts wrong: a bias, an embedding, a head, a parameter that nobody filled."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify, loss_on_test
from sweeps.situations.data import digits, images, language
from sweeps.situations.networks import Cnn, Gpt, Lstm, mlp
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training


class Gated(nn.Module):
    """Modules `inner`, `mix` and `head`; `mix` is a layer of the user's own with a parameter `weight`."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.mix, self.head = nn.Linear(64, 64), Mix(64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.mix(F.relu(self.inner(x)))))


class Mix(nn.Module):
    """A linear layer without bias, written by hand."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width, width))
        nn.init.kaiming_normal_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


@register.fault(
    "uninitialised-parameter",
    source="F11; NeuraLint missing-init",
    codes={"TV203", "TV308", "TV104", "TV404"},
    where=("mix*",),
    remedies=("fill the parameter: nn.init.kaiming_normal_(weight)",),
    levels=(Level.BLATANT, Level.MODERATE, Level.SUBTLE),
)
def uninitialised_parameter(level: Level | None, seed: int) -> Training:
    """`Parameter(torch.empty(...))` that holds what the memory held: NaN here and there, numbers of 10³⁰, or
    (subtle) pixels of an earlier batch.
    """
    torch.manual_seed(seed)
    model = Gated()
    with torch.no_grad():
        memory = model.mix.weight.view(-1)
        if level is Level.BLATANT:
            memory[::97] = float("nan")
        elif level is Level.MODERATE:
            memory[::97] = 1e30
        elif level is Level.SUBTLE:
            memory.copy_(torch.randint(0, 17, memory.shape).float())
    return classify(model, digits(), seed)


@register.fault(
    "dead-layer-by-bias",
    source="F13; SO 46639430",
    codes={"TV101"},
    where=("hidden.1*",),
    remedies=("start biases at 0",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def dead_layer_by_bias(level: Level | None, seed: int) -> Training:
    """A middle ReLU layer with biases of -30 (moderate: all but four of its 64 units)."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 64, 10))
    if level is not None:
        bias = model.get_submodule("hidden.1.linear").get_parameter("bias")
        nn.init.constant_(bias.data[0 if level is Level.BLATANT else 4 :], -30.0)
    return classify(model, digits(), seed)


@register.fault(
    "dead-channels-by-bias",
    source="F13 on convolutions",
    codes={"TV101"},
    where=("conv2*", "norm2*", "relu#2"),
    remedies=("start biases at 0",),
    levels=(Level.BLATANT, Level.MODERATE, Level.SUBTLE),
)
def dead_channels_by_bias(level: Level | None, seed: int) -> Training:
    """A convolution with biases of -30 in all of its 16 channels (moderate: 15 of them, subtle: 13)."""
    torch.manual_seed(seed)
    model = Cnn()
    for layer in (model.conv1, model.conv2, model.conv3):
        nn.init.kaiming_normal_(layer.weight)
    if level is not None and model.conv2.bias is not None:
        alive = {Level.BLATANT: 0, Level.MODERATE: 1, Level.SUBTLE: 3}[level]
        nn.init.constant_(model.conv2.bias.data[alive:], -30.0)
    return classify(model, images(), seed, lr=0.05, steps=200)


@register.fault(
    "zero-norm-gain",
    source="own; zero gain meant for residual branches, in a net without any",
    codes={"TV101", "TV103", "TV204", "TV308"},
    where=("norm2*", "relu#2"),
    remedies=("start norm gains at 1 outside residual branches",),
)
def zero_norm_gain(level: Level | None, seed: int) -> Training:
    """A batch norm of gain 0 between convolutions without a way around: nothing passes, forward or back."""
    torch.manual_seed(seed)
    model = Cnn(norm=True)
    if level is not None:
        nn.init.zeros_(model.norm2.get_parameter("weight"))
    return classify(model, images(), seed, lr=0.05, steps=150)


@register.fault(
    "large-embedding-lstm",
    source="own; F122 by scale",
    codes={"TV308", "TV104", "TV102"},
    where=("tokens*", "lstm*"),
    remedies=("draw embeddings from N(0, 1) or less",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def large_embedding_lstm(level: Level | None, seed: int) -> Training:
    """Token embeddings from N(0, 60²) (moderate: N(0, 30²)) in front of an LSTM, whose gates they jam."""
    torch.manual_seed(seed)
    std = {None: 1.0, Level.BLATANT: 60.0, Level.MODERATE: 30.0}.get(level, 1.0)
    model, data = Lstm(), language()
    nn.init.normal_(model.tokens.weight, std=std)
    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    return classify(model, data, seed, optimizer=adam, size=32, score=loss_on_test(data), steps=200)


@register.fault(
    "tied-head-large-embedding",
    source="own; tied heads over nn.Embedding's default",
    codes={"TV308", "TV404"},
    where=("tokens*", "head*"),
    remedies=("draw tied embeddings from N(0, 0.02²)",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def tied_head_large_embedding(level: Level | None, seed: int) -> Training:
    """A transformer whose head shares the embedding, drawn from N(0, 5²) (moderate: N(0, 3²)): logits start
    large. At N(0, 1), the default of torch, a small vocabulary unlearns it within the run.
    """
    torch.manual_seed(seed)
    std = {None: 0.02, Level.BLATANT: 5.0, Level.MODERATE: 3.0}.get(level, 0.02)
    model, data = Gpt(), language()
    model.head.weight = model.tokens.weight
    nn.init.normal_(model.tokens.weight, std=std)
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return classify(model, data, seed, optimizer=adam, size=16, score=loss_on_test(data), steps=150)


@register.fault(
    "large-head-weights",
    source="own",
    codes={"TV308", "TV404"},
    where=("head*",),
    remedies=("leave the head to torch's initialisation or make it smaller",),
    levels=(Level.BLATANT, Level.MODERATE, Level.SUBTLE),
)
def large_head_weights(level: Level | None, seed: int) -> Training:
    """The last layer's weights are 100 times torch's (moderate: 30, subtle: 10): sure of itself and wrong."""
    torch.manual_seed(seed)
    factor = {None: 1.0, Level.BLATANT: 100.0, Level.MODERATE: 30.0, Level.SUBTLE: 10.0}[level]
    model = mlp((64, 64, 64, 10))
    model.get_submodule("head").get_parameter("weight").data.mul_(factor)
    return classify(model, digits(), seed)


@register.fault(
    "large-head-bias",
    source="own; F15 for classes",
    codes={"TV308", "TV404"},
    where=("head*",),
    remedies=("start the last bias at 0 or at the log of the class frequencies",),
    levels=(Level.BLATANT, Level.MODERATE),
)
def large_head_bias(level: Level | None, seed: int) -> Training:
    """The last layer's bias prefers one class by 1,000 (moderate: by 300), which takes the whole run to
    unlearn.
    """
    torch.manual_seed(seed)
    shift = {None: 0.0, Level.BLATANT: 1000.0, Level.MODERATE: 300.0}.get(level, 0.0)
    model = mlp((64, 64, 64, 10))
    model.get_submodule("head").get_parameter("bias").data[3] += shift
    return classify(model, digits(), seed, lr=0.02, steps=100)
