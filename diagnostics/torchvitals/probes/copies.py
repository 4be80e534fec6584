"""Copies of what a model is given, for passes that must leave the user's own as they are."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor


def fresh(value: Any) -> Any:
    """The same inputs, of which nothing is shared with the user."""
    return _each(value, Tensor.clone, {})


def alone(value: Any, row: int) -> Any:
    """The same inputs with copies of one sample in place of all others."""
    return _each(value, lambda x: x[row : row + 1].expand_as(x).clone(), {})


def flipped(value: Any) -> Any:
    """The same inputs turned about along dimension 1."""
    return _each(value, lambda x: x.flip(1), {})


def _each(value: Any, change: Callable[[Tensor], Tensor], memo: dict[int, Any]) -> Any:
    """A copy of what a model is given, with every tensor changed that is no single number."""
    # What is given twice stays one thing: attention asks whether its query is its key.
    if id(value) not in memo:
        memo[id(value)] = _copy(value, change, memo)
    return memo[id(value)]


def _copy(value: Any, change: Callable[[Tensor], Tensor], memo: dict[int, Any]) -> Any:
    if isinstance(value, Tensor):
        x = value.detach()
        return change(x) if x.ndim else x.clone()
    if isinstance(value, Mapping):
        items = {key: _each(item, change, memo) for key, item in value.items()}
        return type(value)(items)  # type: ignore[call-arg]
    if isinstance(value, (tuple, list)):
        parts = [_each(item, change, memo) for item in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return copy.deepcopy(value)
