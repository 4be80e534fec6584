"""Whether float16 gradients have fallen below what float16 can hold."""

from collections.abc import Sequence
from dataclasses import dataclass

from torchvitals.builtin.parts.wiring import calm, column, owners
from torchvitals.core.snapshot import Snapshot, remembered
from torchvitals.core.window import Window

HALF = 2.0**-10
"""Resolution of float16."""
SMALLEST = 2.0**-24
"""Smallest float16 above 0."""
LIMIT = 65504.0
"""Largest float16."""
PRODUCTS = ("Linear", "Conv")
"""Modules that autocast computes in float16."""
NEAR = 16 * SMALLEST
"""Root mean square below which a good part of the gradients has been lost.

Of normally distributed gradients of that size 2 % become 0, and far more where tails are heavy: a small net
whose loss was too small by 1e5 lost 94 % of them, and the others measured 6e-7.
"""
LOOKS = 3
"""Looks in a row that have to agree."""


@dataclass(frozen=True)
class Underflow:
    """Lost gradients of one look."""

    step: int
    where: tuple[str, ...]
    idle: float
    """share of the entries, of all with a float16 gradient, whose gradient is exactly 0; in [0, 1]"""
    rms: float
    """root mean square of the other entries' gradients; 0 where there are none"""


def underflow(window: Window, *, max_idle: float) -> list[Underflow]:
    """The latest looks in a row at which most float16 gradients were lost, oldest first.

    Empty unless there are three, and unless the loss is above half of the first one: who has converged may
    have small gradients.
    """
    found: list[Underflow] = []
    looks = window.looks("update", "gradient")
    for look in filter(calm, reversed(looks)):
        state = _state(look)
        if state is None or state.idle <= max_idle or state.rms >= NEAR:
            break
        found.append(state)
    return found[::-1] if len(found) >= LOOKS and _unsolved(list(filter(calm, looks))) else []


def _unsolved(looks: Sequence[Snapshot]) -> bool:
    losses = [s.loss for s in looks if s.loss is not None]
    return bool(losses) and losses[-1] > losses[0] / 2


def _computed_in_half(look: Snapshot) -> bool:
    """Whether most matrix products were made in float16 though weights are not, as under autocast."""
    op, limit = column(look, "activation", "op"), column(look, "activation", "limit")
    products = [limit[site] == LIMIT for site, name in op.items() if str(name).startswith(PRODUCTS)]
    return bool(products) and sum(products) > len(products) / 2


@remembered
def _state(look: Snapshot) -> Underflow | None:
    computed = _computed_in_half(look)
    half = [name for name, gap in column(look, "update", "resolution").items() if gap == HALF or computed]
    count, idle = column(look, "update", "count"), column(look, "update", "idle")
    gradient = column(look, "gradient", "sum_sq")
    half = [name for name in half if name in gradient and name in idle]
    entries = sum(count[name] for name in half)
    lost = sum(idle[name] for name in half)
    if not entries:
        return None
    left = sum(gradient[name] for name in half) / max(entries - lost, 1.0)
    worst = sorted(half, key=lambda name: -idle[name] / count[name])
    share = [name for name in worst if idle[name] > 0.5 * count[name]]
    return Underflow(look.step, owners(share or worst), lost / entries, left**0.5)
