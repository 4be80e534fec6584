"""Reads the first look at a network; without it preflight and the report of a run would each do so."""

from collections.abc import Iterator

from torchvitals.builtin.parts.chain import Chain
from torchvitals.core.snapshot import Snapshot
from torchvitals.core.start import Site, Start
from torchvitals.core.window import Window

DECADES = 3.0
"""Powers of ten that a gradient may lose before layers stop learning."""
LEAST_LAYERS = 3
"""Layers that make a depth to speak of."""
STEADY = 1e-3
"""Decades a layer below which a gradient does not change with depth."""


def start_of(window: Window) -> Start | None:
    """What the first look says; None where activations and parameters were not looked at."""
    looks = window.looks("activation", "parameter")
    if not looks:
        return None
    chain = Chain.of(looks[0])
    return Start(
        profile=tuple(_sites(looks[0])),
        factors=_factors(chain),
        trainable_depth=_depth(chain),
        without_gradient=_starved(looks[0]),
    )


def _sites(look: Snapshot) -> Iterator[Site]:
    table, back = look["activation"], look.tables.get("activation_gradient")
    norms = dict(zip(back.names, back.norm, strict=True)) if back is not None else {}
    for name, op, rms in zip(table.names, table["op"], table.rms, strict=True):
        gradient = norms.get(name)
        yield Site(name, str(op), float(rms), None if gradient is None else float(gradient))


def _starved(look: Snapshot) -> tuple[str, ...]:
    gradient, parameter = look.tables.get("gradient"), look["parameter"]
    norms = dict(zip(gradient.names, gradient["sum_sq"], strict=True)) if gradient is not None else {}
    wants = dict(zip(parameter.names, parameter["trainable"], strict=True))
    return tuple(name for name, wanted in wants.items() if wanted and not norms.get(name, 0.0) > 0)


def _factors(chain: Chain) -> dict[str, float]:
    """Factors by layer, of the plain part of the net, as measured and as mean-field theory expects them."""
    if len(chain) < LEAST_LAYERS:
        return {}
    signal, gradient = chain.predicted()
    told = {"signal": chain.signal, "expected_signal": signal, "expected_gradient": gradient}
    told |= {"gradient": chain.gradient} if chain.gradient is not None else {}
    return {name: float(10 ** (decades / (len(chain) - 1))) for name, decades in told.items()}


def _depth(chain: Chain) -> float | None:
    """Layers that change the gradient by three decades, at the rate of this net."""
    if len(chain) < LEAST_LAYERS or chain.gradient is None:
        return None
    rate = abs(chain.gradient) / (len(chain) - 1)
    return DECADES / rate if rate > STEADY else float("inf")
