"""Without this file no initialisation would look at the data: layer-sequential unit variance."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.errors import invalid


def unit_variance(
    network: nn.Module,
    *,
    layers: Sequence[nn.Module],
    batch: Tensor,
    tolerance: float = 0.01,
    rounds: int = 10,
) -> None:
    """Rescale each layer, in order of execution, until its outputs over the batch have variance 1.

    Source: arXiv:1511.06422; `tolerance` is the distance from 1 that is left alone. A recurrent layer's
    outputs are bounded by its cell, so what is brought to variance 1 there is the input's share of the
    pre-activations; hidden-to-hidden weights stay as they are. Buffers, the mode and the global generator are
    left as found. Raises ValueError for a batch on which some layer's outputs are constant or not finite.
    """
    paths = {layer: path for path, layer in network.named_modules()}
    with torch.no_grad(), _training_mode_without_trace(network):
        for layer in _in_execution_order(network, layers=layers, batch=batch):
            for _ in range(rounds):
                variance = float(_outputs(network, layer=layer, batch=batch).var())
                if not 0 < variance < float("inf"):
                    raise invalid("lsuv batch", value=batch.shape, choices=_needed(paths[layer], variance))
                if abs(variance - 1) < tolerance:
                    break
                _input_weight(layer).div_(variance**0.5)


def _needed(path: str, variance: float) -> str:
    return f"inputs on which {path!r} varies; its output variance is {variance}"


def _input_weight(layer: nn.Module) -> Tensor:
    return layer.get_parameter("weight_ih_l0" if isinstance(layer, nn.RNNBase) else "weight")


def _in_execution_order(
    network: nn.Module, *, layers: Sequence[nn.Module], batch: Tensor
) -> tuple[nn.Module, ...]:
    order: dict[nn.Module, None] = {}
    handles = [
        layer.register_forward_pre_hook(lambda module, _: order.setdefault(module)) for layer in layers
    ]
    network(batch)
    for handle in handles:
        handle.remove()
    return tuple(order)


def _outputs(network: nn.Module, *, layer: nn.Module, batch: Tensor) -> Tensor:
    seen: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        seen.append(
            F.linear(inputs[0], _input_weight(module)) if isinstance(module, nn.RNNBase) else output.clone()
        )

    handle = layer.register_forward_hook(keep)
    network(batch)
    handle.remove()
    return seen[0]


@contextmanager
def _training_mode_without_trace(network: nn.Module) -> Iterator[None]:
    """Batch norm reads the batch's statistics; neither they nor dropout's draws outlive the measuring."""
    was_training, buffers = network.training, copy.deepcopy(dict(network.named_buffers()))
    with torch.random.fork_rng(devices=[]):
        network.train()
        try:
            yield
        finally:
            network.train(was_training)
            for name, buffer in network.named_buffers():
                buffer.copy_(buffers[name])
