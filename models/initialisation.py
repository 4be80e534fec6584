"""Without this file two initialisations would differ in their luck as well as in their scale."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from models.errors import invalid, require_choice, require_finite, require_positive
from models.lsuv import unit_variance
from models.seeding import generator


class Law(NamedTuple):
    """A distribution: its base noise, and the factor on that noise for (fan_in, fan_out)."""

    noise: Literal["normal", "uniform", "orthogonal", "ones"]
    factor: Callable[[int, int], float]


# Base noise is N(0, 1), U(-1, 1), a (semi-)orthogonal matrix, or ones.
LAWS: Mapping[str, Law] = {
    "torch_default": Law("uniform", lambda fan_in, _: math.sqrt(1 / fan_in)),
    "zeros": Law("ones", lambda *_: 0.0),
    "constant": Law("ones", lambda *_: 0.1),
    "normal01": Law("normal", lambda *_: 1.0),
    "small_normal": Law("normal", lambda *_: 0.01),
    "xavier_normal": Law("normal", lambda fan_in, fan_out: math.sqrt(2 / (fan_in + fan_out))),
    "xavier_uniform": Law("uniform", lambda fan_in, fan_out: math.sqrt(6 / (fan_in + fan_out))),
    "he_normal": Law("normal", lambda fan_in, _: math.sqrt(2 / fan_in)),
    "he_uniform": Law("uniform", lambda fan_in, _: math.sqrt(6 / fan_in)),
    "lecun_normal": Law("normal", lambda fan_in, _: math.sqrt(1 / fan_in)),
    "orthogonal": Law("orthogonal", lambda *_: 1.0),
    "lsuv": Law("orthogonal", lambda *_: 1.0),
}

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.RNNBase)
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "std": ("normal01", "small_normal"),
    "value": ("constant",),
    "gain": tuple(LAWS.keys() - {"normal01", "small_normal", "constant", "zeros", "lsuv"}),
}
_GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}


@dataclass(frozen=True, kw_only=True)
class Initialisation:
    """One law for the weights of all linear, convolutional and recurrent layers, and one constant for their
    biases.

    Sources: xavier (Glorot & Bengio 2010), he (arXiv:1502.01852), lecun (LeCun et al. 1998), orthogonal
    (arXiv:1312.6120), lsuv (arXiv:1511.06422); torch_default is U(-1/sqrt(fan_in), 1/sqrt(fan_in)), for
    recurrent layers with the width for fan_in. Embeddings and norms keep what their constructors gave them.
    Raises ValueError for values that cannot be used.
    """

    name: str
    "One of LAWS."
    gain: float | None = None
    "Factor on the weights of a law that reads fan_in or is orthogonal, above 0; None means 1."
    std: float | None = None
    "Standard deviation of normal01 and small_normal, above 0; None means 1 and 0.01."
    value: float | None = None
    "Every weight of constant; None means 0.1."
    bias: float | None = None
    "Every bias; None means 0, and for torch_default that law's own random biases."

    def __post_init__(self) -> None:
        require_choice("init", value=self.name, choices=LAWS)
        for field, laws in _FIELDS.items():
            given = getattr(self, field)
            if given is not None and self.name not in laws:
                only = f"null for init {self.name!r}; a number for {', '.join(sorted(laws))}"
                raise invalid(field, value=given, choices=only)
        for field in ("gain", "std"):
            if (size := getattr(self, field)) is not None:
                require_positive(field, value=size)
        for field in ("value", "bias"):
            if (number := getattr(self, field)) is not None:
                require_finite(field, value=number)

    @torch.no_grad()
    def apply(self, network: nn.Module, *, seed: int, batch: Tensor | None = None) -> None:
        """Overwrite the weights in place.

        Layer i draws from its own generator (seed, i): laws that share a base noise give the same numbers up
        to a factor, and the global generator plays no part. `batch` holds inputs, for lsuv only, which raises
        ValueError without it.
        """
        for index, layer in enumerate(initialisable_layers(network)):
            noise = generator(seed, "layer", index)
            for weight in _weight_blocks(layer):
                self._fill(weight, fan_in=self._fan_in(layer, weight=weight), noise=noise)
            for bias in _biases(layer):
                self._fill_bias(bias, layer=layer, noise=noise)
        if self.name == "lsuv":
            if batch is None:
                raise invalid(
                    "batch", value=batch, choices="a tensor of inputs: lsuv scales by what it measures"
                )
            unit_variance(network, layers=tuple(initialisable_layers(network)), batch=batch)

    def _fill(self, weight: Tensor, *, fan_in: int, noise: torch.Generator) -> None:
        law = LAWS[self.name]
        given = self.std if self.std is not None else self.value
        factor = law.factor(fan_in, weight[:, 0].numel()) if given is None else given
        gain = 1.0 if self.gain is None else self.gain
        weight.copy_(gain * factor * _base_noise(law.noise, weight, noise=noise))

    def _fan_in(self, layer: nn.Module, *, weight: Tensor) -> int:
        own = self.name == "torch_default" and isinstance(layer, nn.RNNBase)
        return layer.get_parameter("weight_hh_l0").shape[1] if own else weight[0].numel()

    def _fill_bias(self, bias: Tensor, *, layer: nn.Module, noise: torch.Generator) -> None:
        if self.name == "torch_default" and self.bias is None:
            weight = next(_weight_blocks(layer))
            self._fill(bias.unsqueeze(1), fan_in=self._fan_in(layer, weight=weight), noise=noise)
        else:
            bias.fill_(self.bias or 0.0)


def initialisable_layers(network: nn.Module) -> Iterator[nn.Module]:
    """The layers that a law fills, in order of registration; norms and embeddings are not among them."""
    return (m for m in network.modules() if isinstance(m, LAYERS))


def _base_noise(kind: str, like: Tensor, *, noise: torch.Generator) -> Tensor:
    # On the CPU in float32, whatever the network's device and dtype: a seed means one thing everywhere.
    base = torch.ones(like.shape)
    if kind == "normal":
        return base.normal_(generator=noise).to(like)
    if kind == "uniform":
        return base.uniform_(-1, 1, generator=noise).to(like)
    return (nn.init.orthogonal_(base, generator=noise) if kind == "orthogonal" else base).to(like)


def _weight_blocks(layer: nn.Module) -> Iterator[Tensor]:
    """The weight (out, in, ...) of a layer; each gate by itself of a recurrent one."""
    gates = _GATES[layer.mode.split("_")[0]] if isinstance(layer, nn.RNNBase) else 1
    for name, weight in layer.named_parameters(recurse=False):
        if name.startswith("weight"):
            yield from weight.chunk(gates)


def _biases(layer: nn.Module) -> Iterator[Tensor]:
    return (bias for name, bias in layer.named_parameters(recurse=False) if name.startswith("bias"))
