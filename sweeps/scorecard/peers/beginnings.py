"""TheDeepChecker's checks before training: of data, of initial weights and biases, and of the first loss."""

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from sweeps.scorecard.peers.look import Look
from sweeps.scorecard.peers.rules import Said
from sweeps.situations.training import Training

BATCHES = 16
SAME = 0.1
"""distance, absolute or relative, at which numbers count as equal"""
BALANCE = 0.5
"""least perplexity of the labels, less 1, over that of labels that are all as frequent"""
F_CRITICAL = 2.70554
"""ratio of variances at which an initialisation is another one, at a level of 0.1"""
LOSS_RATIO = 1.0
"""distance of the first loss from the logarithm of the number of classes, as a part of that"""


def beginnings(look: Look, training: Training) -> Iterator[Said]:
    """All of them, after the first iteration."""
    x, y = (_sample(training, part) for part in (0, 1))
    if x is not None and x.is_floating_point() and not normalised(x):
        yield Said("features", (), "features are constant or not normalised")
    if y is not None:
        yield from _targets(look, y)
    yield from _weights(look, dict(training.model.named_modules()))
    if look.accuracy is not None and look.output is not None:
        expected = math.log(look.output.shape[-1])
        if not abs(look.loss - expected) < LOSS_RATIO * expected:
            yield Said("initial loss", (), "the first loss is not that of a guess")


def normalised(x: Tensor) -> bool:
    """Whether data are standardised, or just fill 0 to 1 or -1 to 1."""
    x = x.float()
    spread, mean, low, high = x.std().item(), x.mean().item(), x.min().item(), x.max().item()
    if spread == 0:
        return False
    if _same(high, 1.0) and (_same(low, 0.0) or _same(low, -1.0)):
        return True
    return _same(spread, 1.0) and _same(mean, 0.0)


def _same(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=SAME, abs_tol=SAME)


def _sample(training: Training, part: int) -> Tensor | None:
    """Inputs (part 0) or targets (part 1) of the first batches, which stand for the data."""
    batches = [training.batch(step) for step in range(min(BATCHES, training.steps))]
    found = [batch[part] for batch in batches if isinstance(batch, tuple | list) and len(batch) > 1]
    tensors = [t.flatten() for t in found if isinstance(t, Tensor)]
    return torch.cat(tensors) if tensors and sum(map(len, tensors)) > 1 else None


def _targets(look: Look, y: Tensor) -> Iterator[Said]:
    if look.accuracy is not None and look.output is not None:
        classes = look.output.shape[-1]
        counts = torch.bincount(y.clamp(0, classes - 1), minlength=classes).float()
        entropy = torch.distributions.Categorical(counts).entropy().item()
        if (math.exp(entropy) - 1) / (classes - 1) < BALANCE:
            yield Said("unbalanced labels", (), "labels")
    elif y.is_floating_point() and not normalised(y):
        yield Said("targets", (), "targets are not normalised")


def _weights(look: Look, modules: Mapping[str, nn.Module]) -> Iterator[Said]:
    """Weights must look like one of three initialisations, or like that for the network's activation."""
    kind = next((type(m) for m in modules.values() if isinstance(m, nn.ReLU | nn.Tanh | nn.Sigmoid)), None)
    for name, w in look.before.items():
        layer = modules.get(name.rpartition(".")[0])
        if name.endswith("bias") and isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
            if w.sum() != 0:
                yield Said("initial biases", (name,), "biases are not zero")
        elif w.dim() > 1:
            spread = w.float().var(correction=0).item()
            if spread < 1e-8 or not _initialised(w, spread, kind):
                yield Said("initial weights", (name,), "weights are constant, or of another variance")


def _initialised(w: Tensor, spread: float, kind: type[nn.Module] | None) -> bool:
    area = w[0, 0].numel()
    fan_in, fan_out = w.shape[1] * area, w.shape[0] * area
    lecun, he, glorot = 1 / fan_in, 2 / fan_in, 2 / (fan_in + fan_out)
    wanted = {nn.ReLU: (he,), nn.Tanh: (glorot,), nn.Sigmoid: (lecun,), None: (lecun, he, glorot)}
    return any(max(spread / v, v / spread) <= F_CRITICAL for v in wanted[kind])
