"""From configuration to a training: every option of every group, and errors that reach the user whole."""

import sys

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from torch import nn

from tests.models.conftest import CONF, GROUPS

OPTIONS = [(group, file.stem) for group in GROUPS for file in sorted((CONF / group).glob("*.yaml"))]
DOWNLOADED = ("mnist", "fashion_mnist", "cifar10")
READS_TOKENS = {"copy": "rnn", "modular": "rnn", "adding": "rnn"}


@pytest.mark.parametrize(("group", "option"), [case for case in OPTIONS if case[1] not in DOWNLOADED])
def test_every_option_trains_two_steps(built, fit, group, option):
    choices = {group: option}
    if group == "data":
        choices["model"] = READS_TOKENS.get(option, "mlp")
    if group == "model" and option not in {"simple_net", "mlp"}:
        choices["data"] = "digits"
    made = built(**choices)
    trainer = fit(made, max_steps=2, limit_val_batches=1)
    assert trainer.global_step == 2


@pytest.mark.parametrize("option", DOWNLOADED)
def test_options_with_a_download_say_what_to_install(built, monkeypatch, option):
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    with pytest.raises(ImportError, match=r'^\w+ needs torchvision: pip install "torchvitals\[vision\]"$'):
        built(data=option)


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes(group, option):
    with initialize_config_dir(str(CONF), version_base=None):
        assert compose("config", overrides=[f"{group}={option}"])[group]


def test_misspelt_key_is_refused_when_composing():
    with (
        initialize_config_dir(str(CONF), version_base=None),
        pytest.raises(ConfigCompositionException, match=r"model\.dept"),
    ):
        compose("config", overrides=["model.dept=3"])


def test_every_group_has_options():
    assert {group for group, _ in OPTIONS} == set(GROUPS)


@pytest.mark.parametrize("model", ["rnn", "transformer"])
@pytest.mark.parametrize("data", ["copy", "adding", "modular", "digits"])
def test_sequence_networks_read_every_sequence(built, fit, model, data):
    fit(built(model=model, data=data, init="xavier_uniform"), max_steps=1, limit_val_batches=1)


def test_keys_of_the_groups_reach_the_objects(built):
    made = built(
        activation="leaky_relu",
        **{
            "activation.slope": 0.3,
            "model.depth": 7,
            "model.width": 9,
            "optimizer.lr": 0.5,
            "init.bias": -2.0,
        },
    )
    layer = made.module.network.hidden[6]  # pyright: ignore[reportIndexIssue] -- an MLP
    assert layer.act.negative_slope == 0.3
    assert layer.linear.weight.shape == (9, 9)
    assert torch.all(layer.linear.bias == -2.0)
    assert made.module.make_optimizer(made.module.parameters()).defaults["lr"] == 0.5


@pytest.mark.parametrize("init", ["torch_default", "he_normal", "lsuv"])
@pytest.mark.parametrize("model", ["mlp", "transformer"])
def test_weights_depend_on_the_seed_alone(built, init, model):
    vectors = []
    for seed, state in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(state)
        made = built(seed=seed, init=init, model=model, data="digits")
        vectors.append(nn.utils.parameters_to_vector(made.module.parameters()))
    assert torch.equal(vectors[0], vectors[1])
    assert not torch.equal(vectors[0], vectors[2])


def test_building_leaves_the_global_generator_alone(built):
    before = torch.get_rng_state()
    built(init="lsuv")
    assert torch.equal(torch.get_rng_state(), before)


def test_network_that_cannot_read_token_ids_is_refused(built):
    with pytest.raises(
        ValueError,
        match=r"^model: 'MLP' is not allowed\. Choices: a network for token ids: rnn or transformer\.$",
    ):
        built(data="copy")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"model.depth": -1}, r"^depth: -1 is not allowed\."),
        ({"model.width": 0}, r"^width: 0 is not allowed\."),
        ({"model.norm": "bach"}, r"^norm: 'bach' is unknown\. Did you mean 'batch'\?"),
        ({"model.dropout": 1.0}, r"^dropout: 1\.0 is not allowed\."),
        ({"activation.name": "rleu"}, r"^activation: 'rleu' is unknown\. Did you mean 'relu'\?"),
        ({"init.name": "he_norml"}, r"^init: 'he_norml' is unknown\. Did you mean 'he_normal'\?"),
        ({"init.gain": 0.0}, r"^gain: 0\.0 is not allowed\."),
        ({"data.max_samples": 0}, r"^max_samples: 0 is not allowed\."),
    ],
)
def test_wrong_values_reach_the_user_as_they_were_raised(built, overrides, message):
    with pytest.raises(ValueError, match=message):
        built(**overrides)
