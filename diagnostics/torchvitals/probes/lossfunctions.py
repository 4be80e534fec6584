"""Which calls are loss functions, and how their arguments are read."""

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import torch.nn.functional as F

_NAMES = (
    *("cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits"),
    *("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"),
    *("kl_div", "gaussian_nll_loss", "poisson_nll_loss"),
)

LOSSES: Mapping[Callable[..., Any], str] = {getattr(F, name): name for name in _NAMES}
"""Loss functions of a prediction `input` and a `target`; the modules of torch.nn call them too."""


def arguments(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Every argument of a call by its name, defaults included."""
    bound = _signature(func).bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.arguments


def reduction(given: Mapping[str, Any]) -> str:
    """How the losses of a call become one: "mean", "sum", "none", or what else `reduction` allows."""
    if given.get("reduce") is False:
        return "none"
    if given.get("size_average") is False:
        return "sum"
    if given.get("reduce") or given.get("size_average"):
        return "mean"
    return given.get("reduction", "mean")


@lru_cache
def _signature(func: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(func)
