"""The slopes that decide who is silent, by autograd in float64."""

import pytest
import torch
import torch.nn.functional as F

from torchvitals.probes.activations import SILENT_BELOW

FUNCTIONS = {
    "relu": F.relu,
    "relu6": F.relu6,
    "elu": F.elu,
    "celu": F.celu,
    "selu": F.selu,
    "gelu": F.gelu,
    "silu": F.silu,
    "mish": F.mish,
    "hardswish": F.hardswish,
    "softplus": F.softplus,
}


@pytest.mark.parametrize("op", FUNCTIONS)
def test_below_its_threshold_an_activation_passes_less_than_two_percent(op):
    z = torch.linspace(-30, 30, 60001, dtype=torch.float64, requires_grad=True)
    FUNCTIONS[op](z).sum().backward()
    assert z.grad is not None
    slope = z.grad.abs()
    assert float(slope[z.detach() <= SILENT_BELOW[op]].max()) < 0.02 * float(slope.max())


def test_all_thresholds_but_those_of_leaky_units_are_tested():
    assert set(SILENT_BELOW) - set(FUNCTIONS) == {"leaky_relu", "prelu"}
