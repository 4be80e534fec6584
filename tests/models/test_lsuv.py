"""Layer-sequential unit variance: what it promises, and what it leaves alone."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.activations import activation_factory
from models.initialisation import Initialisation, initialisable_layers
from models.networks.cnn import CNN
from models.networks.mlp import MLP
from models.networks.resnet import ResNet
from models.networks.rnn import RNN

RELU = activation_factory("relu")
IMAGES = torch.randn(128, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def _output_variances(network: nn.Module, batch: Tensor) -> list[float]:
    variances: list[float] = []
    for layer in initialisable_layers(network):
        layer.register_forward_hook(lambda _, __, output: variances.append(output.var().item()))
    network(batch)
    return variances


@pytest.mark.parametrize(
    "network",
    [
        pytest.param(lambda: MLP((1, 8, 8), out_features=10, activation=RELU, depth=10), id="mlp"),
        pytest.param(
            lambda: MLP((1, 8, 8), out_features=10, activation=RELU, norm="batch"), id="mlp with batch norm"
        ),
        pytest.param(lambda: CNN((1, 8, 8), out_features=10, activation=RELU), id="cnn"),
        pytest.param(lambda: ResNet((1, 8, 8), out_features=10, activation=RELU), id="resnet, in place"),
    ],
)
def test_every_layer_puts_out_unit_variance(network):
    made = network()
    Initialisation(name="lsuv").apply(made, seed=0, batch=IMAGES)
    assert _output_variances(made, IMAGES) == pytest.approx(
        [1.0] * len(list(initialisable_layers(made))), abs=0.02
    )


def test_recurrent_layer_reads_its_input_with_unit_variance():
    network = RNN((8, 8), out_features=3, activation=RELU, cell="gru")
    x = IMAGES.squeeze(1)
    Initialisation(name="lsuv").apply(network, seed=0, batch=x)
    read = F.linear(x, network.get_parameter("recurrent.0.weight_ih_l0"))
    assert read.var().item() == pytest.approx(1.0, abs=0.02)


def test_buffers_mode_and_global_generator_are_left_as_found():
    network = MLP((1, 8, 8), out_features=10, activation=RELU, norm="batch", dropout=0.5).eval()
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    state = torch.get_rng_state()
    Initialisation(name="lsuv").apply(network, seed=0, batch=IMAGES)
    assert not network.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in network.named_buffers())


def test_constant_outputs_are_refused_by_the_layers_path():
    network = MLP((64,), out_features=10, activation=RELU)
    with pytest.raises(
        ValueError, match=r"inputs on which 'hidden\.0\.linear' varies; its output variance is 0\.0"
    ):
        Initialisation(name="lsuv").apply(network, seed=0, batch=torch.zeros(4, 64))
