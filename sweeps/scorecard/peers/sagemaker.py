"""SageMaker Debugger's built-in rules at their default thresholds, written anew from its documentation.

Only rules that need no configuration of the user's, and that a single training can break. The service saves
tensors at every 500th step; these trainings are far shorter than those it is made for, so every 10th is
looked at, and every one of the first 10 for the rule on initial weights. Where it picks tensors by the names
of modules, modules are picked by their class.
"""

import math
from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn

from sweeps.scorecard.peers import symptoms as s
from sweeps.scorecard.peers.look import RECTIFIERS, Look, numbers
from sweeps.scorecard.peers.rules import Codes, Said, judge
from sweeps.situations.training import Training

INTERVAL = 10
"""steps between two looks"""
VANISHED = 1e-7
"""mean absolute gradient"""
INACTIVE = 0.01
"""part of the batch for which a unit is active, below which it is dead or saturated"""
LAYER_SHARE = 0.5
"""part of a layer's units that makes it dead or saturated"""
BOUNDS: dict[type[nn.Module], tuple[float, float]] = {
    nn.Tanh: (-9.4999, 9.4999), nn.Sigmoid: (-23.0, 16.99999)
}  # fmt: skip
"""inputs between which a unit is active"""
FIRST = 10
"""steps in which weights count as initial"""
VARIANCE_RATIO = 10.0
"""largest over smallest variance of the inputs of ReLUs"""
DISTRIBUTION = 1e-3
"""smallest distance between the 5th and 95th percentile of gradients"""
PATIENCE = 5
"""first steps in which the loss may fail to improve"""
LARGE_UPDATE, SMALL_UPDATE, EPSILON = 10.0, 1e-8, 1e-9
NOT_DECREASING = 10
"""steps over which the loss has to go down"""
UNCHANGED = 3
"""looks"""
OVERFIT = 0.1
"""validation loss over training loss, less 1"""
OVERTRAINED, PATIENCE_TRAIN, PATIENCE_VALIDATION = 0.1, 5, 10
"""least improvement of a loss, and looks that it may take"""
IMBALANCE, LABELS = 10.0, 500
"""most over least frequent class, after that many labels"""
IMAGE_MEAN, IMAGES = 0.2, 500
"""absolute mean of the images, after that many"""


class SageMaker:
    codes: ClassVar[Codes] = {
        "VanishingGradient": s.VANISHING,
        "ExplodingTensor": s.EXPLODING,
        "DeadRelu": s.DEAD,
        "SaturatedActivation": s.SATURATED,
        "PoorWeightInitialization": s.BAD_INIT,
        "WeightUpdateRatio": (*s.RATE_HIGH, *s.RATE_LOW, *s.UNCHANGED),
        "LossNotDecreasing": s.STUCK,
        "AllZero": (*s.DEAD, *s.VANISHING, "TV301"),
        "UnchangedTensor": s.UNCHANGED,
        "Overfit": s.OVERFIT,
        "Overtraining": (*s.OVERFIT, *s.SLOW),
        "ClassImbalance": s.IMBALANCE,
        "CheckInputImages": s.UNSCALED,
    }
    stops: ClassVar[bool] = False

    def __init__(self, _training: Training) -> None:
        self._losses: list[float] = []
        self._kept: list[dict[str, Tensor]] = []
        self._labels: Counter[int] = Counter()
        self._images: list[float] = []
        self._pixels = 0
        self._train, self._validation = Stalled(PATIENCE_TRAIN), Stalled(PATIENCE_VALIDATION)
        self._since: list[float] = []

    def look(self, look: Look) -> Iterator[Said]:
        self._losses.append(look.loss)
        self._since.append(look.loss)
        if look.step < FIRST:
            yield from self._initial(look)
        if look.step % INTERVAL == 0:
            yield from self._tensors(look)
            yield from layers(look)
            yield from self._updates(look)
            yield from self._loss(look)
            yield from self._data(look)

    def validated(self, loss: float) -> Iterator[Said]:
        trained = sum(self._since) / max(len(self._since), 1)
        self._since.clear()
        if trained and (loss - trained) / trained > OVERFIT:
            yield Said("Overfit", (), "validation loss above training loss")
        if self._validation.stalled(loss):
            yield Said("Overtraining", (), "the validation loss does not improve")

    def _initial(self, look: Look) -> Iterator[Said]:
        inputs = {a.path: a.input for a in look.layers
                  if isinstance(a.module, RECTIFIERS) and a.input is not None}  # fmt: skip
        spreads = numbers(inputs, torch.var)
        if spreads and max(spreads.values()) > VARIANCE_RATIO * min(spreads.values()):
            yield Said("PoorWeightInitialization", (max(spreads, key=lambda p: spreads[p]),), "variance")
        widths = numbers(look.gradients, _width)
        thin = min(widths, key=lambda p: widths[p], default="")
        if thin and widths[thin] < DISTRIBUTION:
            yield Said("PoorWeightInitialization", (thin,), "gradients of one value")
        recent = self._losses[-PATIENCE - 1 :]
        if len(recent) > PATIENCE and not min(recent[1:]) < recent[0]:
            yield Said("PoorWeightInitialization", (), "the loss does not decrease")

    def _tensors(self, look: Look) -> Iterator[Said]:
        sizes = look.of("gradients", "size")
        for name, size in sizes.items():
            if size < VANISHED:
                yield Said("VanishingGradient", (name,), "tiny gradients")
        for kind in ("layers", "weights", "gradients"):
            for name, size in look.of(kind, "size").items():
                if not math.isfinite(size):
                    yield Said("ExplodingTensor", (name,), "NaN or infinite")
        for name, size in {**sizes, **look.of("matrices", "size")}.items():
            if size == 0:
                yield Said("AllZero", (name,), "all zero")
        self._kept = [*self._kept[-UNCHANGED + 1 :], look.weights]
        for name, now in look.weights.items():
            kept = [weights.get(name) for weights in self._kept]
            if len(kept) == UNCHANGED and all(w is not None and torch.allclose(w, now) for w in kept):
                yield Said("UnchangedTensor", (name,), "does not change")

    def _updates(self, look: Look) -> Iterator[Said]:
        moved = {n: look.before[n] - w for n, w in look.weights.items() if n in look.before}
        steps = numbers(moved, lambda w: w.abs().mean())
        sizes = look.of("weights", "size")
        for name, step in steps.items():
            ratio = step / (sizes[name] + EPSILON)
            if ratio > LARGE_UPDATE or ratio < SMALL_UPDATE:
                yield Said("WeightUpdateRatio", (name,), f"ratio {ratio:.2g}")

    def _loss(self, look: Look) -> Iterator[Said]:
        if look.told and look.step >= NOT_DECREASING and not look.loss < self._losses[-1 - NOT_DECREASING]:
            yield Said("LossNotDecreasing", (), "the loss")
        if look.told and self._train.stalled(look.loss):
            yield Said("Overtraining", (), "the training loss does not improve")

    def _data(self, look: Look) -> Iterator[Said]:
        y, x = look.targets, look.inputs
        if look.accuracy is not None and y is not None:
            self._labels.update(y.flatten().tolist())
            counts = self._labels.values()
            if self._labels.total() >= LABELS and max(counts) > IMBALANCE * min(counts):
                yield Said("ClassImbalance", (), "classes")
        if x is not None and x.is_floating_point() and x.dim() == 4:
            self._pixels += len(x)
            self._images.append(x.mean().item())
            if self._pixels >= IMAGES and abs(sum(self._images) / len(self._images)) > IMAGE_MEAN:
                yield Said("CheckInputImages", (), "images are not centred")


class Stalled:
    """Whether a loss has failed to improve by enough for too many looks."""

    def __init__(self, patience: int) -> None:
        self._best, self._patience, self._waited = math.inf, patience, 0

    def stalled(self, loss: float) -> bool:
        self._waited = 0 if loss < self._best - OVERTRAINED else self._waited + 1
        self._best = min(self._best, loss)
        return self._waited >= self._patience


def layers(look: Look) -> Iterator[Said]:
    """Rules on the units of layers, each of which has one activity per sample of the batch."""
    for layer in look.layers:
        if isinstance(layer.module, nn.ReLU) and _idle(layer.output > 0) > LAYER_SHARE:
            yield Said("DeadRelu", (layer.path,), "inactive ReLUs")
        bounds = BOUNDS.get(type(layer.module))
        if bounds is None or layer.input is None:
            continue
        if _idle((layer.input > bounds[0]) & (layer.input < bounds[1])) > LAYER_SHARE:
            yield Said("SaturatedActivation", (layer.path,), "saturated")


def _idle(active: Tensor) -> float:
    """Part of the units that are hardly ever active."""
    return (active.float().mean(0) < INACTIVE).float().mean().item()


def _width(gradient: Tensor) -> Tensor:
    low, high = torch.quantile(gradient.flatten()[:1_000_000], torch.tensor([0.05, 0.95]))
    return high - low


JUDGE = judge("SageMaker Debugger", SageMaker, "docs.aws.amazon.com/sagemaker, Debugger built-in rules")
