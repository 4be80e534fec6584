"""What the re-implemented tools know of a training after an iteration."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

BOUNDED = (nn.Sigmoid, nn.Tanh)
RECTIFIERS = (nn.ReLU, nn.ReLU6)


@dataclass(frozen=True)
class Layer:
    """What a module without children did in the last training pass. Functions are no layers."""

    path: str
    module: nn.Module
    output: Tensor
    input: Tensor | None = None
    """of rectifiers, sigmoids and tanhs, as it was before they ran"""
    after: str = ""
    """layer whose output it took as it was, empty where something happened in between"""


@dataclass(kw_only=True)
class Look:
    """Everything after one iteration. Tensors are detached; nobody may write to them."""

    step: int
    loss: float
    """nan where nobody told it"""
    told: bool
    layers: tuple[Layer, ...]
    """in the order in which they ran"""
    weights: dict[str, Tensor]
    """trainable parameters by name"""
    before: dict[str, Tensor]
    """the same before the iteration"""
    gradients: dict[str, Tensor]
    """as the loop left them; as backward left them where the loop took them away"""
    inputs: Tensor | None
    output: Tensor | None
    """of the whole model"""
    targets: Tensor | None
    rates: tuple[float, ...]
    """learning rates of all groups of parameters"""
    cache: dict[str, dict[str, float]] = field(default_factory=dict)

    @cached_property
    def accuracy(self) -> float | None:
        """Share of right classes, where outputs are class logits and targets whole numbers."""
        out, y = self.output, self.targets
        if out is None or y is None or y.is_floating_point() or out.dim() < 2:
            return None
        if out.shape[:-1] != y.shape or out.shape[-1] < 2:
            return None
        return (out.argmax(-1) == y).float().mean().item()

    @property
    def matrices(self) -> dict[str, Tensor]:
        """Weights without biases and gains."""
        return {name: w for name, w in self.weights.items() if w.dim() > 1}

    @property
    def slopes(self) -> dict[str, Tensor]:
        """Gradients of the matrices."""
        return {name: g for name, g in self.gradients.items() if g.dim() > 1}

    def of(self, kind: str, what: str) -> dict[str, float]:
        """A number for each of the `weights`, `gradients` or `layers`: its `mean` or `size` (mean absolute
        value). It is not finite if any element is not.
        """
        key = f"{kind} {what}"
        if key not in self.cache:
            tensors: dict[str, Tensor] = (
                {layer.path: layer.output for layer in self.layers}
                if kind == "layers"
                else getattr(self, kind)
            )
            self.cache[key] = numbers(tensors, Tensor.mean if what == "mean" else _size)
        return self.cache[key]


def _size(tensor: Tensor) -> Tensor:
    return tensor.abs().mean()


def numbers(tensors: dict[str, Tensor], measure: Callable[[Tensor], Tensor]) -> dict[str, float]:
    """One number for each tensor that has elements."""
    found = {name: measure(t.float()) for name, t in tensors.items() if t.numel()}
    return dict(zip(found, torch.stack(list(found.values())).tolist(), strict=True)) if found else {}
