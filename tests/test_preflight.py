"""What is said before a training begins, and that nothing of the user's is changed by asking."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import torchvitals
from sweeps.situations.networks import mlp
from torchvitals import Severity
from torchvitals.core.errors import FieldError


@pytest.fixture
def batch():
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(128, 64, generator=draw)
    return x, (x[:, :10]).argmax(1)


def net(depth=3, **how):
    torch.manual_seed(0)
    return mlp((64, *(64,) * depth, 10), **how)


def sgd(model, lr=0.05):
    return torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)


def alarms(found):
    return [i.code for i in found.incidents if i.severity > Severity.INFO]


def test_a_sound_training_passes_and_learns_a_few_samples_by_heart(batch):
    model = net()
    found = torchvitals.preflight(model, batch, F.cross_entropy, sgd(model), overfit=True)
    assert (found.verdict, alarms(found)) == ("healthy", [])
    assert found.overfit is not None
    before, after = found.overfit
    assert after < 0.1 * before
    assert found.start.without_gradient == ()


@pytest.mark.parametrize("dropout", [False, True])
def test_model_optimizer_and_random_state_are_left_as_they_were(batch, dropout):
    model = nn.Sequential(net(norm=nn.BatchNorm1d), nn.Dropout(0.5) if dropout else nn.Identity())
    optimizer = sgd(model)
    for _ in range(2):  # so that there is momentum and there are statistics to lose
        optimizer.zero_grad()
        F.cross_entropy(model(batch[0]), batch[1]).backward()
        optimizer.step()
    model.eval()
    weights, state = copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict())
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    random = torch.get_rng_state()
    torchvitals.preflight(model, batch, F.cross_entropy, optimizer, overfit=True)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(now, weights[name]) for name, now in model.state_dict().items())
    for p, g in zip(model.parameters(), gradients, strict=True):
        assert p.grad is not None
        assert torch.equal(p.grad, g)
    assert not model.training
    assert repr(optimizer.state_dict()) == repr(state)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_deep_net_with_torch_default_weights_is_told_how_deep_it_may_be(batch):
    """A ReLU layer with weights of variance 1/(3 fan-in) keeps sqrt(1/6) = 0.408 of the gradient: three
    decades are lost in 7.7 layers.
    """
    model = net(depth=14, init=None)
    found = torchvitals.preflight(model, batch, F.cross_entropy, sgd(model))
    assert alarms(found)[0] in ("TV308", "TV201")
    assert found.start.factors["expected_gradient"] == pytest.approx(0.408, rel=0.02)
    assert found.start.factors["gradient"] == pytest.approx(0.408, rel=0.1)
    assert found.start.trainable_depth == pytest.approx(7.7, rel=0.12)
    text = str(found)
    assert "three decades in 8 layers" in " ".join(text.split())
    assert "hidden.13.linear" in text


def test_he_weights_carry_as_deep_as_one_likes(batch):
    found = torchvitals.preflight(net(depth=14), batch, F.cross_entropy)
    assert alarms(found) == []
    assert found.start.trainable_depth is not None
    assert found.start.trainable_depth > 50


def test_what_no_optimizer_holds_is_told(batch):
    model = net()
    stale = sgd(copy.deepcopy(model))
    assert alarms(torchvitals.preflight(model, batch, F.cross_entropy, stale)) == ["TV305"]


def test_twins_are_told(batch):
    found = torchvitals.preflight(net(init=lambda w: nn.init.constant_(w, 0.1)), batch, F.cross_entropy)
    assert alarms(found)[0] == "TV301"


def test_a_softmax_before_cross_entropy_is_told(batch):
    model = nn.Sequential(net(), nn.Softmax(dim=1))
    assert "TV405" in alarms(torchvitals.preflight(model, batch, F.cross_entropy, sgd(model)))


def test_a_softmax_over_the_batch_is_told(batch):
    model = nn.Sequential(net(), nn.LogSoftmax(dim=0))
    found = alarms(torchvitals.preflight(model, batch, F.nll_loss, sgd(model)))
    assert {"TV106", "TV405"} & set(found)


def test_what_gets_no_gradient_is_listed(batch):
    class Forked(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.unused = net(), nn.Linear(3, 3)

        def forward(self, x):
            return self.body(x)

    found = torchvitals.preflight(Forked(), batch, F.cross_entropy)
    assert found.start.without_gradient == ("unused.weight", "unused.bias")
    assert "2 trainable parameters got no gradient" in str(found)


def test_what_cannot_learn_a_few_samples_is_no_training(batch):
    model = net()
    found = torchvitals.preflight(model, batch, F.cross_entropy, sgd(model, lr=1e-7), overfit=True)
    assert "TV403" in alarms(found)
    assert "by heart" in str(found)


def test_a_mapping_goes_in_by_names_and_may_bring_its_loss(batch):
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = net()

        def forward(self, inputs, labels):
            logits = self.body(inputs)
            return {"loss": F.cross_entropy(logits, labels), "logits": logits}

    given = {"inputs": batch[0], "labels": batch[1]}
    by_itself = torchvitals.preflight(Named(), given)
    by_us = torchvitals.preflight(Named(), given, lambda out, b: F.cross_entropy(out["logits"], b["labels"]))
    assert by_itself.verdict == by_us.verdict == "healthy"
    assert [s.signal for s in by_itself.start.profile] == [s.signal for s in by_us.start.profile]


@pytest.mark.parametrize("given", [torch.zeros(4, 64), (torch.zeros(4, 64),), None])
def test_a_batch_of_another_shape_is_answered_with_what_is_wanted(given):
    with pytest.raises(FieldError, match=r"\(inputs, targets\) with a loss_fn, or a mapping"):
        torchvitals.preflight(net(), given, F.cross_entropy)


def test_what_the_model_raises_comes_through(batch):
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        torchvitals.preflight(net(), (torch.zeros(4, 3), batch[1][:4]), F.cross_entropy)


def test_a_nan_at_birth_is_traced(batch):
    model = net()
    model.get_parameter("hidden.1.linear.bias").data[0] = math.nan
    assert alarms(torchvitals.preflight(model, batch, F.cross_entropy, sgd(model)))[0] == "TV203"
