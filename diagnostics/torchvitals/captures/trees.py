"""What models are given, as JSON: sequences, mappings and numbers, with a key in place of each tensor."""

import math
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from types import SimpleNamespace
from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

MAX_ITEMS = 1024
"""Items of one container that are kept."""
MAX_DEPTH = 16

Tree = Any
"""A JSON value. What is no plain number or text is an object with one key that says what it is."""


def pack(value: Any, keep: Callable[[Tensor], Tree], *, depth: int = 0) -> Tree:
    """`value` as a tree; `keep` gives what stands in place of a tensor. What has no safe form, such as an
    object of a class of the user, becomes {"lost": why}.
    """
    if isinstance(value, Tensor):
        return keep(value)
    if value is None or type(value) in (bool, int, str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if type(value) in (tuple, list) and len(value) <= MAX_ITEMS and depth < MAX_DEPTH:  # as most are
        items = [pack(item, keep, depth=depth + 1) for item in value]
        return {"tuple" if type(value) is tuple else "list": items}
    if depth >= MAX_DEPTH:
        return {"lost": "nested too deeply"}

    def inner(item: Any) -> Tree:
        return pack(item, keep, depth=depth + 1)

    return _container(value, inner)


def _container(value: Any, inner: Callable[[Any], Tree]) -> Tree:
    name = type(value).__name__
    if isinstance(value, (tuple, list, Mapping)) and len(value) > MAX_ITEMS:
        return {"lost": f"a {name} of {len(value)} items"}
    if isinstance(value, Mapping):
        return {"dict": [[inner(key), inner(item)] for key, item in value.items()]}
    if isinstance(value, tuple):
        names = getattr(value, "_fields", None)
        items = [inner(item) for item in value]
        return {"tuple": items} if names is None else {"named": [name, list(names), items]}
    if isinstance(value, list):
        return {"list": [inner(item) for item in value]}
    if is_dataclass(value) and not isinstance(value, type):
        items = {f.name: getattr(value, f.name) for f in fields(value)}
        return {"fields": [[key, inner(item)] for key, item in items.items()]}
    return {"lost": f"an object of class {name}"}


def unpack(tree: Tree, tensor: Callable[[str], Tensor]) -> Any:
    """What was packed. A dataclass comes back as a namespace, a named tuple as one of the same fields; raises
    `ValueError` where something was lost.
    """
    if not isinstance(tree, dict):
        return tree

    def inner(item: Tree) -> Any:
        return unpack(item, tensor)

    ((kind, held),) = tree.items()
    match kind:
        case "tensor":
            return tensor(held)
        case "float":
            return float(held)
        case "dict":
            return {inner(key): inner(item) for key, item in held}
        case "list":
            return [inner(item) for item in held]
        case "tuple":
            return tuple(inner(item) for item in held)
        case "fields":
            return SimpleNamespace(**{key: inner(item) for key, item in held})
        case "named":
            name, names, items = held
            parts = [inner(item) for item in items]
            return PackedSequence(*parts) if name == "PackedSequence" else namedtuple(name, names)(*parts)
    raise ValueError(f"a part of what the model was given is not in the capture: {held}")


def leaves(tree: Tree, name: str = "") -> Iterator[tuple[str, str, str]]:
    """Tensors and lost parts as (readable name, "tensor" or "lost", key or reason), in order."""
    if not isinstance(tree, dict):
        return
    ((kind, held),) = tree.items()
    if kind in ("tensor", "lost"):
        yield name, kind, held
    elif kind in ("list", "tuple"):
        for i, item in enumerate(held):
            yield from leaves(item, f"{name}[{i}]")
    elif kind in ("dict", "fields"):
        for key, item in held:
            yield from leaves(item, f"{name}.{key}" if name else str(key))
    elif kind == "named":
        for key, item in zip(held[1], held[2], strict=True):
            yield from leaves(item, f"{name}.{key}" if name else key)


def given_in(iterations: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """The leaves of all that the model was given in the micro-batches of a step."""
    for n, iteration in enumerate(iterations):
        at = f" of micro-batch {n}" if len(iterations) > 1 else ""
        for name, kind, held in leaves(iteration["batch"], "batch"):
            yield name + at, kind, held
        for k, call in enumerate(iteration["calls"]):
            again = f" of call {k}" if len(iteration["calls"]) > 1 else ""
            for name, kind, held in inputs_of(call["given"]):
                yield name + again + at, kind, held


def inputs_of(given: Tree) -> Iterator[tuple[str, str, str]]:
    """The leaves of the arguments of a call, kept as a list of positional and named ones."""
    args, kwargs = given["list"]
    positional = args["tuple"]
    for i, item in enumerate(positional):
        yield from leaves(item, "input" if len(positional) == 1 else f"input[{i}]")
    yield from leaves(kwargs)
