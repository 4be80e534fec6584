"""Without this file each caller would put network, weights, optimizer and data together in its own order."""

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

from hydra.utils import instantiate
from torch import nn

from models.activations import ActivationFactory, activation_factory
from models.data.base import InMemoryData
from models.errors import invalid
from models.initialisation import Initialisation
from models.seeding import seeded
from models.tasks import task_named
from models.training import TrainingModule

Config = Mapping[str, Any]
_LSUV_EXAMPLES = 256


class Built(NamedTuple):
    """A module and its data, ready for `Trainer.fit(module, data)`."""

    module: TrainingModule
    data: InMemoryData


def build(
    model: Config,
    *,
    activation: Config,
    init: Config,
    optimizer: Config,
    scheduler: Config,
    data: Config,
    seed: int,
) -> Built:
    """Make everything that one training needs out of the Hydra groups of the same names.

    Each argument is one group's mapping; those with a `_target_` are partial and completed here. Equal
    configurations and seeds (0 is one) give equal weights, splits and batch orders, whatever the state of the
    global generators, which stay as they are. Dropout alone draws from the global generator during training:
    seed it before fitting. The data is set up on return. Raises ValueError, naming field, value and choices,
    for what cannot be built, and ImportError for a data set whose package is missing.
    """
    examples: InMemoryData = instantiate(data, _convert_="all")(seed=seed)
    law = Initialisation(**{str(key): value for key, value in init.items()})
    make_activation = activation_factory(**{str(key): value for key, value in activation.items()})
    with seeded(seed, "network"):
        network = _network(model, activation=make_activation, data=examples)
    examples.setup()
    law.apply(network, seed=seed, batch=examples.train.x[:_LSUV_EXAMPLES])
    module = TrainingModule(
        network,
        task=task_named(examples.task, out_features=examples.out_features),
        optimizer=instantiate(optimizer, _convert_="all"),
        scheduler=instantiate(scheduler, _convert_="all"),
    )
    return Built(module, examples)


def _network(model: Config, *, activation: ActivationFactory, data: InMemoryData) -> nn.Module:
    make = instantiate(model, _convert_="all")
    sizes: dict[str, Any] = {}
    if "vocab_size" in inspect.signature(make.func).parameters:
        sizes = {"vocab_size": data.vocab_size, "per_position": data.per_position}
    elif data.vocab_size is not None:
        raise invalid(
            "model", value=make.func.__name__, choices="a network for token ids: rnn or transformer"
        )
    return make(data.in_shape, out_features=data.out_features, activation=activation, **sizes)
