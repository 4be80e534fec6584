"""A site is named with the layer in front of it; without this a user would have to look for `relu#2`."""

from torchvitals.builtin.parts.faded import faded
from torchvitals.builtin.parts.feeders import feeders, named
from torchvitals.core.snapshot import Snapshot
from torchvitals.testing import table

SITES = ("up", "gelu", "drop", "down", "norm", "relu", "up#2", "gelu#2", "head")
OPS = ("Linear", "gelu", "Dropout", "Linear", "LayerNorm", "relu", "Linear", "gelu", "Linear")
WEIGHTS = ("up.weight", "down.weight", "down.bias", "norm.weight", "head.weight")


def net(sites=SITES, ops=OPS, weights=WEIGHTS, **kinds):
    given = {
        "activation": table("activation", sites, op=ops),
        "parameter": table("parameter", weights),
    }
    return Snapshot(0, {}, {}, {k: t for k, t in given.items() if k not in kinds})


def test_a_site_without_weights_is_fed_by_the_last_module_with_weights_before_it():
    assert feeders(net()) == {"gelu": "up", "drop": "up", "relu": "norm", "gelu#2": "up"}


def test_an_activation_with_a_parameter_of_its_own_is_fed_by_the_layer_in_front():
    look = net(("fc", "act", "head"), ("Linear", "prelu", "Linear"), ("fc.weight", "act.weight", "head.bias"))
    assert feeders(look) == {"act": "fc"}


def test_names_are_each_once_and_the_feeder_comes_first():
    assert named(net(), ("gelu#2", "down", "gelu")) == ("up", "gelu#2", "down", "gelu")


def test_where_nothing_is_known_the_site_is_named_alone():
    assert named(net(("relu",), ("relu",)), ("relu",)) == ("relu",)
    assert named(net(activation=None), ("relu",)) == ("relu",)
    assert named(net(parameter=None), ("relu",)) == ("relu",)


def variances(step, **sites):
    given = {
        "activation": table("activation", tuple(sites), op="Linear", spread=[56 * v for v in sites.values()])
    }
    return Snapshot(step, {}, {}, {**given, "parameter": table("parameter", ("a.weight", "code.weight"))})


def test_sites_that_lost_what_told_samples_apart_are_named():
    start = variances(0, a=1.0, code=1.0, back=1.0, head=1.0)
    late = [variances(i, a=0.5, code=1e-4, back=0.1, head=1e-5) for i in (1, 2, 3)]
    assert faded([start, *late]) == ("code",)
    assert faded([start, *late[:2]]) == ()


def test_a_site_that_comes_back_or_never_told_them_apart_is_not():
    start = variances(0, a=1.0, code=0.0, head=1.0)
    late = [variances(i, a=1e-4 if i < 3 else 1.0, code=0.0, head=1.0) for i in (1, 2, 3)]
    assert faded([start, *late]) == ()
    assert faded([]) == ()
