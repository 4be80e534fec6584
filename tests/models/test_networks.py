"""Every network: shapes, names that read well in a report, gradients everywhere, clear refusals."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from models.activations import ACTIVATIONS, activation_factory
from models.networks.cnn import CNN
from models.networks.mlp import MLP
from models.networks.resnet import BasicBlock, ResNet
from models.networks.rnn import CELLS, RNN
from models.networks.simple import SimpleNet
from models.networks.transformer import Transformer

TANH, RELU = activation_factory("tanh"), activation_factory("relu")
IMAGE, NUMBERS, TOKENS = (1, 8, 8), (6, 3), (6,)
TOKEN_SIZES = {"vocab_size": 5, "per_position": True}

CASES = [
    pytest.param(lambda: SimpleNet((13,), out_features=3, activation=TANH), (13,), (3,), id="simple"),
    pytest.param(lambda: MLP((13,), out_features=3, activation=TANH), (13,), (3,), id="mlp"),
    pytest.param(lambda: MLP(IMAGE, out_features=3, activation=TANH), IMAGE, (3,), id="mlp on images"),
    pytest.param(lambda: MLP((13,), out_features=1, activation=TANH, depth=0), (13,), (1,), id="mlp depth 0"),
    pytest.param(
        lambda: MLP(
            (13,),
            out_features=3,
            activation=TANH,
            depth=5,
            norm="layer",
            residual=True,
            dropout=0.1,
            branch_scale=0.5,
        ),
        (13,),
        (3,),
        id="mlp with everything",
    ),
    pytest.param(lambda: CNN(IMAGE, out_features=3, activation=TANH), IMAGE, (3,), id="cnn"),
    pytest.param(
        lambda: CNN(IMAGE, out_features=3, activation=TANH, norm="layer", dropout=0.1), IMAGE, (3,), id="cnn+"
    ),
    pytest.param(
        lambda: CNN((3, 5, 4), out_features=3, activation=TANH, depth=1), (3, 5, 4), (3,), id="cnn depth 1"
    ),
    pytest.param(lambda: ResNet(IMAGE, out_features=3, activation=RELU, depth=2), IMAGE, (3,), id="resnet"),
    pytest.param(
        lambda: ResNet(IMAGE, out_features=3, activation=RELU, norm="none"), IMAGE, (3,), id="resnet no norm"
    ),
    pytest.param(
        lambda: ResNet(IMAGE, out_features=3, activation=RELU, residual=False), IMAGE, (3,), id="plain"
    ),
    *(
        pytest.param(
            lambda c=c: RNN(NUMBERS, out_features=2, activation=TANH, cell=c, depth=2), NUMBERS, (2,), id=c
        )
        for c in CELLS
    ),
    pytest.param(lambda: RNN(IMAGE, out_features=2, activation=TANH), IMAGE, (2,), id="rnn on images"),
    pytest.param(
        lambda: RNN(TOKENS, out_features=2, activation=TANH, **TOKEN_SIZES), TOKENS, (6, 2), id="rnn tokens"
    ),
    pytest.param(
        lambda: Transformer(TOKENS, out_features=2, activation=TANH, **TOKEN_SIZES),
        TOKENS,
        (6, 2),
        id="transformer",
    ),
    pytest.param(
        lambda: Transformer(NUMBERS, out_features=2, activation=TANH, norm="post"),
        NUMBERS,
        (2,),
        id="post norm",
    ),
    pytest.param(
        lambda: Transformer(IMAGE, out_features=2, activation=TANH), IMAGE, (2,), id="transformer on images"
    ),
]


def _inputs(in_shape: tuple[int, ...], *, count: int = 4) -> Tensor:
    noise = torch.Generator().manual_seed(0)
    if in_shape == TOKENS:
        return torch.randint(0, 5, (count, *in_shape), generator=noise)
    return torch.randn(count, *in_shape, generator=noise)


@pytest.mark.parametrize(("make", "in_shape", "out_shape"), CASES)
def test_outputs_have_the_documented_shape(make, in_shape, out_shape):
    assert make()(_inputs(in_shape)).shape == (4, *out_shape)


@pytest.mark.parametrize(("make", "in_shape", "_"), CASES)
def test_every_parameter_gets_a_gradient(make, in_shape, _):
    network = make()
    network(_inputs(in_shape)).square().sum().backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize(("make", "in_shape", "_"), CASES)
def test_examples_of_a_batch_do_not_influence_each_other_in_evaluation(make, in_shape, _):
    network, x = make().eval(), _inputs(in_shape)
    assert torch.allclose(network(x)[:1], network(x[:1]), atol=1e-5)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_in_place_residual_network_takes_every_activation(name):
    network = ResNet(IMAGE, out_features=3, activation=activation_factory(name))
    network(_inputs(IMAGE)).sum().backward()


def _paths(network: nn.Module) -> list[str]:
    return [path for path, module in network.named_modules() if path and not list(module.children())]


def test_module_paths_read_well_in_a_report():
    mlp = MLP((4,), out_features=2, activation=RELU, depth=1, norm="batch", dropout=0.1)
    assert _paths(mlp) == ["hidden.0.linear", "hidden.0.norm", "hidden.0.act", "hidden.0.dropout", "head"]
    assert _paths(CNN(IMAGE, out_features=2, activation=RELU, depth=1)) == [
        "hidden.0.conv",
        "hidden.0.act",
        "hidden.0.pool",
        "head",
    ]


@settings(deadline=None, max_examples=20)
@given(depth=st.integers(0, 12), width=st.integers(1, 16))
def test_mlp_has_depth_hidden_layers_and_one_output_layer(depth, width):
    network = MLP((3,), out_features=2, activation=TANH, depth=depth, width=width)
    linears = [module for module in network.modules() if isinstance(module, nn.Linear)]
    assert len(linears) == depth + 1
    assert sum(isinstance(module, nn.Tanh) for module in network.modules()) == depth
    assert all(linear.out_features == width for linear in linears[:-1])


def test_mlp_of_identities_is_the_product_of_its_matrices():
    network = MLP((3,), out_features=2, activation=activation_factory("identity"), depth=4, width=5)
    x = _inputs((3,))
    affine = network(torch.zeros(1, 3))
    assert torch.allclose(network(2 * x) - affine, 2 * (network(x) - affine), atol=1e-5)


@pytest.mark.parametrize(("scale", "factor"), [(0.5, 0.5), ("inverse_sqrt_depth", 1 / math.sqrt(3))])
def test_residual_branches_are_scaled_from_the_second_hidden_layer_on(scale, factor):
    network = MLP((3,), out_features=2, activation=TANH, depth=3, width=5, residual=True, branch_scale=scale)
    x = _inputs((3,))
    first, second, third = network.hidden
    h = first(x)
    h = h + factor * second(h)
    h = h + factor * third(h)
    assert torch.allclose(network(x), network.head(h))


def test_zero_init_residual_starts_blocks_as_the_identity():
    network = ResNet(IMAGE, out_features=2, activation=RELU, zero_init_residual=True)
    block = next(module for module in network.modules() if isinstance(module, BasicBlock))
    x = torch.rand(4, 16, 8, 8)
    assert torch.equal(block(x.clone()), x)


def test_resnet_has_six_times_depth_plus_two_layers_on_its_longest_path():
    network = ResNet(IMAGE, out_features=2, activation=RELU, depth=3)
    convs = [path for path, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    assert len([path for path in convs if "shortcut" not in path]) + 1 == 6 * 3 + 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: MLP((4,), out_features=2, activation=RELU, depth=-1),
            r"^depth: -1 .* integer of at least 0\.$",
        ),
        (
            lambda: MLP((4,), out_features=2, activation=RELU, width=0),
            r"^width: 0 .* integer of at least 1\.$",
        ),
        (lambda: MLP((4,), out_features=0, activation=RELU), r"^out_features: 0 .* integer of at least 1\.$"),
        (
            lambda: MLP((), out_features=2, activation=RELU),
            r"^in_shape: \(\) .* one or more sizes of at least 1\.$",
        ),
        (lambda: MLP((4,), out_features=2, activation=RELU, norm="bach"), r"^norm: 'bach' .* 'batch'\?"),
        (
            lambda: MLP((4,), out_features=2, activation=RELU, dropout=1.0),
            r"^dropout: 1\.0 .* number in \[0, 1\)\.$",
        ),
        (
            lambda: MLP((4,), out_features=2, activation=RELU, branch_scale="sqrt"),  # pyright: ignore[reportArgumentType] -- wrong on purpose
            r"^branch_scale: 'sqrt' .* a finite number, or 'inverse_sqrt_depth'\.$",
        ),
        (lambda: SimpleNet((4,), out_features=2, activation=RELU, widths=(0, 1)), r"^widths: 0 "),
        (
            lambda: CNN((13,), out_features=2, activation=RELU),
            r"^in_shape: \(13,\) .* at least 4 pixels a side\.$",
        ),
        (
            lambda: CNN((1, 3, 8), out_features=2, activation=RELU),
            r"^in_shape: \(1, 3, 8\) .* at least 4 pixels",
        ),
        (lambda: CNN(IMAGE, out_features=2, activation=RELU, depth=0), r"^depth: 0 .* at least 1\.$"),
        (
            lambda: ResNet(IMAGE, out_features=2, activation=RELU, norm="none", zero_init_residual=True),
            r"^zero_init_residual: True is not allowed\. Choices: false with norm none;",
        ),
        (
            lambda: RNN(TOKENS, out_features=2, activation=RELU),
            r"^in_shape: \(6,\) .* \(steps,\) with a vocab_size",
        ),
        (lambda: RNN(NUMBERS, out_features=2, activation=RELU, cell="lstn"), r"^cell: 'lstn' .* 'lstm'\?"),
        (
            lambda: RNN(NUMBERS, out_features=2, activation=RELU, nonlinearity="selu"),
            r"^nonlinearity: 'selu' .* Choices: relu, tanh\.$",
        ),
        (
            lambda: Transformer(NUMBERS, out_features=2, activation=RELU, norm="batch"),
            r"^norm: 'batch' .* post, pre",
        ),
        (
            lambda: Transformer(NUMBERS, out_features=2, activation=RELU, heads=3),
            r"^heads: 3 .* divisor of the width",
        ),
    ],
)
def test_impossible_networks_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
