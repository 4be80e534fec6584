"""Numbers that are too small, too coarse or too narrow for what is done with them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify, cross_entropy, loss_on_test
from sweeps.situations.data import Data, digits, language
from sweeps.situations.networks import Attention, Gpt, Lstm, mlp
from sweeps.situations.recipes import speak
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training

TWO = (Level.BLATANT, Level.MODERATE)
MASTER = ("fp32 weights with autocast", "stochastic rounding")


def cast(data: Data, dtype: torch.dtype) -> Data:
    return Data(data.x.to(dtype), data.y, data.x_test.to(dtype), data.y_test)


@register.fault(
    "bf16-weights-mlp",
    source="F83",
    codes={"TV304"},
    where=("hidden*", "head"),
    onset=(0, 60),
    remedies=MASTER,
)
def bf16_weights_mlp(level: Level | None, seed: int) -> Training:
    """Weights of an MLP kept in bf16 under SGD at a small lr: most updates are rounded away."""
    torch.manual_seed(seed)
    dtype = torch.float32 if level is None else torch.bfloat16
    model = mlp((64, 64, 64, 10)).to(dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=5e-4, momentum=0.9)
    return classify(model, cast(digits(), dtype), seed, optimizer=optimizer, steps=400)


@register.fault(
    "bf16-weights-gpt", source="F83", codes={"TV304"}, where=("*",), onset=(0, 100), remedies=MASTER
)
def bf16_weights_gpt(level: Level | None, seed: int) -> Training:
    """A transformer kept in bf16 under Adam at a small lr, whose updates are below half a unit in the last
    place of most weights.
    """
    torch.manual_seed(seed)
    model = Gpt().to(torch.float32 if level is None else torch.bfloat16)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)

    def loss(net: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.cross_entropy(net(batch[0]).float().flatten(0, 1), batch[1].flatten())

    score = loss_on_test(language(), loss)
    return speak(model, seed, optimizer=optimizer, loss=loss, score=score, steps=300)


@register.fault(
    "bf16-weights-lstm", source="F83", codes={"TV304"}, where=("*",), onset=(0, 100), remedies=MASTER
)
def bf16_weights_lstm(level: Level | None, seed: int) -> Training:
    """An LSTM kept in bf16 under Adam at a small lr."""
    torch.manual_seed(seed)
    model = Lstm().to(torch.float32 if level is None else torch.bfloat16)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4)
    return speak(model, seed, optimizer=optimizer, steps=400)


@register.fault(
    "fp16-adam",
    source="F82",
    codes={"TV203"},
    where=("hidden*", "head"),
    onset=(0, 2),
    remedies=MASTER,
    certain="in fp16 an eps of 1e-8 is 0, and so is the square of a gradient below 2e-4",
)
def fp16_adam(level: Level | None, seed: int) -> Training:
    """Weights and Adam's moments in fp16, where eps and second moments are 0: no step is finite."""
    torch.manual_seed(seed)
    dtype = torch.float32 if level is None else torch.float16
    model = mlp((64, 64, 64, 10)).to(dtype)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    return classify(model, cast(digits(), dtype), seed, optimizer=optimizer)


@register.fault(
    "fp16-underflow",
    source="F82",
    codes={"TV205", "TV204"},
    onset=(0, 20),
    remedies=("GradScaler", "bf16"),
    levels=TWO,
)
def fp16_underflow(level: Level | None, seed: int) -> Training:
    """Autocast to fp16 without loss scaling, and a loss of small weight: its gradients flush to 0."""
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 10))
    weight = 1e-5 if level is Level.MODERATE else 1e-6
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-14)

    def loss(net: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        with torch.autocast("cpu", torch.float16, enabled=level is not None):
            logits = net(batch[0])
        return weight * F.cross_entropy(logits.float(), batch[1])

    return classify(model, digits(), seed, optimizer=optimizer, loss=loss)


class HalfAttention(Attention):
    """Attention whose scores are computed in fp16; `naive` forgets 1/√d and writes softmax by hand."""

    def __init__(self, width: int, heads: int, *, naive: bool) -> None:
        super().__init__(width, heads)
        self.naive = naive

    def forward(self, x: Tensor) -> Tensor:
        n, t, d = x.shape
        size = d // self.heads
        parts = (self.query(x), self.key(x), self.value(x))
        q, k, v = (part.view(n, t, self.heads, size).transpose(1, 2) for part in parts)
        scores = q.half() @ k.half().transpose(-2, -1)
        future = torch.ones(t, t, dtype=torch.bool).triu(1)
        if self.naive:
            weights = torch.exp(scores).masked_fill(future, 0.0)
            weights = (weights / weights.sum(-1, keepdim=True)).float()
        else:
            weights = (scores.float() / size**0.5).masked_fill(future, float("-inf")).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).reshape(n, t, d))


@register.fault(
    "fp16-attention-overflow",
    source="F84; DEForm SUC",
    codes={"TV203"},
    where=("blocks.*attention*",),
    onset=(0, 60),
    remedies=("scale the scores by 1/√d", "softmax in fp32"),
)
def fp16_attention_overflow(level: Level | None, seed: int) -> Training:
    """Unscaled attention scores in fp16 meet a softmax by hand, whose exp overflows at a score of 11."""
    torch.manual_seed(seed)
    model = Gpt(width=256, depth=1, heads=1)
    model.blocks[0].attention = HalfAttention(256, 1, naive=level is not None)
    return speak(model, seed, lr=3e-3, size=4)


class Cosine(nn.Module):
    """Class probabilities from cosines times 200; `naive` takes exp before it divides."""

    def __init__(self, naive: bool) -> None:
        super().__init__()
        self.naive = naive
        self.body, self.prototypes = nn.Linear(64, 32), nn.Parameter(torch.randn(10, 32))

    def forward(self, x: Tensor) -> Tensor:
        logits = 200 * F.normalize(self.body(x), dim=-1) @ F.normalize(self.prototypes, dim=-1).T
        if not self.naive:
            return logits.log_softmax(-1)
        weights = torch.exp(logits)
        return torch.log(weights / weights.sum(-1, keepdim=True))


@register.fault(
    "softmax-overflow",
    source="F85; d4ml-003, SO 57346868",
    codes={"TV203"},
    where=("",),
    onset=(0, 150),
    remedies=("log_softmax",),
)
def softmax_overflow(level: Level | None, seed: int) -> Training:
    """A softmax by hand on cosines times 200: exp overflows as soon as one prediction is confident."""
    torch.manual_seed(seed)
    model = Cosine(naive=level is not None)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    return classify(model, digits(), seed, optimizer=optimizer, loss=cross_entropy)
