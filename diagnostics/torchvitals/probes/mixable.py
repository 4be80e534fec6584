"""For which models and inputs it can be told what the samples of a batch are."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.utils.data import DataLoader, Dataset

from torchvitals.probes.reduce import tensors
from torchvitals.probes.subject import is_compiled
from torchvitals.probes.team import several_ranks

MAX_PARAMETERS = 2**24
"""Parameters of the largest model that is copied; its modules may hold as many further numbers."""

_SEQUENTIAL = (nn.RNNBase, nn.MultiheadAttention, nn.Transformer)


class Unfit(Exception):
    """Why the samples cannot be told."""


def require_small(module: nn.Module) -> None:
    """Raises `Unfit` where a copy would be large."""
    kept = [value for inner in module.modules() for value in vars(inner).values()]
    if any(isinstance(value, (Dataset, DataLoader)) for value in kept):
        raise Unfit("it holds the data")
    own = sum(p.numel() for p in (*module.parameters(), *module.buffers()))
    further = sum(_length(value) for value in kept)
    if max(own, further) > MAX_PARAMETERS:
        raise Unfit(f"it has more than {MAX_PARAMETERS:,} parameters")


def _length(value: Any) -> int:
    if isinstance(value, (Tensor, np.ndarray)):
        return int(np.prod(value.shape))
    return len(value) if isinstance(value, (list, tuple, dict, set)) else 0


def batch_size(given: Any) -> int:
    """Length of dimension 0, which all tensors of the inputs share. Raises `Unfit`."""
    sizes = {x.shape[0] for x in _every_tensor(given) if x.ndim}
    if len(sizes) != 1:
        raise Unfit("its inputs have batches of different sizes" if sizes else "it was given no tensor")
    (size,) = sizes
    if size < 2:
        raise Unfit("there was only one sample in the batch")
    return size


def require_batches(module: nn.Module, given: Any, size: int) -> None:
    """Raises `Unfit` where dimension 0 may be another than that of the samples, or mixes by design."""
    inner = list(module.modules())
    inputs = [x for x in _every_tensor(given) if x.ndim]
    if any(is_compiled(m) or isinstance(m, torch.jit.ScriptModule) for m in inner):
        raise Unfit("it is compiled")
    if several_ranks():
        raise Unfit("it is trained by several processes, which a pass of its own may disturb")
    if any(isinstance(m, _BatchNorm) and m.running_mean is None for m in inner):
        raise Unfit("it has batch norm without running statistics, which mixes on purpose")
    if any(x.ndim == 1 for x in inputs):
        raise Unfit("an input has one dimension only, which may be that of the features")
    if any(x.shape[1] == size for x in (*inputs, *module.buffers()) if x.ndim == 2 and x.shape[0] == size):
        raise Unfit("a square matrix as large as the batch may say who belongs to whom")
    least = max((_least(m) for m in inner), default=0)
    if any(x.ndim < least for x in inputs if x.is_floating_point()):
        raise Unfit("its inputs may be single samples")


def _least(module: nn.Module) -> int:
    """Dimensions that an input has at least if it is a batch."""
    if isinstance(module, _ConvNd):
        return module.weight.ndim
    return 3 if isinstance(module, _SEQUENTIAL) else 2


def sequence_length(module: nn.Module, given: Any) -> int:
    """Length of dimension 1, if the inputs are sequences of which either dimension may be the batch; else 0.

    Those are matrices of tokens, and of numbers what a module of the library takes sequence first. Dimension
    1 of any other input holds channels or features, whose places are always told apart.
    """
    inputs = [x for x in _every_tensor(given) if x.ndim]
    second = any(isinstance(m, _SEQUENTIAL) and not _batch_first(m) for m in module.modules())
    dims = {x.ndim for x in inputs}
    numbers = any(x.is_floating_point() for x in inputs)
    if dims != ({3} if numbers else {2}) or (numbers and not second):
        return 0
    lengths = {x.shape[1] for x in inputs}
    return lengths.pop() if len(lengths) == 1 and lengths != {inputs[0].shape[0]} else 0


def _batch_first(module: nn.Module) -> bool:
    """Of an `nn.Transformer`, which keeps it to its layers, too."""
    return all(getattr(m, "batch_first", True) for m in module.modules())


def first_output(out: Any, size: int) -> Tensor:
    """The first tensor that the model gave which is no single number. Raises `Unfit` if it is no batch."""
    found = next((x for x in tensors(out) if x.ndim), None)
    if found is None or found.shape[0] != size or found.is_complex():
        raise Unfit("its output is no batch as large as its input")
    if found.ndim == 2 and found.shape[1] == size:
        raise Unfit("its output may compare the samples of a batch with each other")
    return found


def _every_tensor(value: Any) -> Iterator[Tensor]:
    """Tensors of any dtype in the inputs."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _every_tensor(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _every_tensor(item)
    elif is_dataclass(value) and not isinstance(value, type):
        raise Unfit(f"an input is a {type(value).__name__}, which has {len(fields(value))} parts of its own")
