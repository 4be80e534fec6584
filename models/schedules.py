"""Without this file a schedule would need the run's number of steps from the user; these count in shares."""

import math
from collections.abc import Sequence
from functools import partial

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from models.errors import require_count, require_positive, require_share

Scheduler = LambdaLR


def constant(optimizer: Optimizer, *, total_steps: int) -> Scheduler:
    """The optimizer's own learning rate throughout."""
    require_count("total_steps", value=total_steps, minimum=1)
    return LambdaLR(optimizer, _one)


def cosine(optimizer: Optimizer, *, total_steps: int, warmup: float = 0.0, floor: float = 0.0) -> Scheduler:
    """Half a cosine from the full learning rate down to `floor` times it, after a linear rise.

    `warmup` is the share of the run, in [0, 1), in which the rate rises; step 0 already takes a step above
    zero. Source: arXiv:1608.03983 without restarts. Raises ValueError for shares outside [0, 1).
    """
    require_count("total_steps", value=total_steps, minimum=1)
    require_share("warmup", value=warmup)
    require_share("floor", value=floor)
    rise = round(warmup * total_steps)
    return LambdaLR(optimizer, partial(_cosine, total_steps=total_steps, rise=rise, floor=floor))


def step(
    optimizer: Optimizer, *, total_steps: int, milestones: Sequence[float] = (0.5, 0.75), factor: float = 0.1
) -> Scheduler:
    """The learning rate times `factor` at each milestone, a share of the run in [0, 1).

    Raises ValueError for milestones outside [0, 1) or a factor that is not above 0.
    """
    require_count("total_steps", value=total_steps, minimum=1)
    require_positive("factor", value=factor)
    for milestone in milestones:
        require_share("milestones", value=milestone)
    drops = tuple(milestone * total_steps for milestone in milestones)
    return LambdaLR(optimizer, partial(_stairs, drops=drops, factor=factor))


# Named functions and not closures: schedulers must survive pickling.
def _one(_: int) -> float:
    return 1.0


def _cosine(now: int, *, total_steps: int, rise: int, floor: float) -> float:
    if now < rise:
        return (now + 1) / (rise + 1)
    progress = min((now - rise) / max(total_steps - rise, 1), 1.0)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


def _stairs(now: int, *, drops: Sequence[float], factor: float) -> float:
    return factor ** sum(now >= drop for drop in drops)
