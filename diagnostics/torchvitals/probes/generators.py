"""Generators of random numbers that a copy of a model would share with the model."""

import functools
import inspect
import random
import sys
from collections.abc import Iterator
from types import BuiltinMethodType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from torchvitals.probes.mixable import Unfit

_KINDS = (torch.Generator, random.Random, np.random.Generator, np.random.RandomState)
_LIBRARIES = sys.stdlib_module_names | {"torch", "numpy"}
"""Packages whose functions draw from the global generators, or from one that they are given."""


def require_own_generators(module: nn.Module) -> None:
    """Raises `Unfit` where a pass of a copy would advance a generator that is no part of the copy."""
    seen: set[tuple[int, type]] = set()
    for inner in module.modules():
        pending = [inner.forward, *(x for x in vars(inner).values() if _shared(_bare(x)))]
        while pending:
            value = _bare(pending.pop())
            key = (id(value), type(inner))
            if key in seen:
                continue
            seen.add(key)
            if _draws(value):
                raise Unfit("it draws from a random generator that a copy of it would share")
            pending += _mentioned(value, type(inner))


def _shared(value: Any) -> bool:
    """Whether a copy of a module has this very attribute; generators are copied with it."""
    return isinstance(value, (FunctionType, BuiltinMethodType, functools.partial))


def _bare(value: Any) -> Any:
    """The function inside whatever binds it."""
    if isinstance(value, property):
        return value.fget
    if isinstance(value, (staticmethod, classmethod)):
        return value.__func__
    return value.__func__ if isinstance(value, MethodType) and not _is_own(value.__self__) else value


def _draws(value: Any) -> bool:
    """Whether it is a generator, or a method of one, whose state is not put back after each pass."""
    return _is_own(value) or _is_own(getattr(value, "__self__", None))


def _is_own(value: Any) -> bool:
    restored = (torch.default_generator, random._inst, np.random.mtrand._rand)  # type: ignore[attr-defined]
    return isinstance(value, _KINDS) and not any(value is x for x in restored)


def _mentioned(value: Any, owner: type) -> Iterator[Any]:
    """What the code of a function of the user refers to, as far as its text tells."""
    if isinstance(value, functools.partial):
        yield from (value.func, *value.args, *value.keywords.values())
    if isinstance(value, (list, tuple)):
        yield from (x for x in value if isinstance(x, _KINDS))
    if isinstance(value, dict):
        yield from (x for x in value.values() if isinstance(x, _KINDS))
    if isinstance(value, FunctionType) and not _of_library(value.__module__):
        names = set(_names(value.__code__))
        methods = (inspect.getattr_static(owner, name, None) for name in names)
        found = [*_bound(value, names), *methods]
        yield from found
        yield from _attributes(found, names)


def _bound(function: FunctionType, names: set[str]) -> Iterator[Any]:
    """Globals, cells of the closure and defaults."""
    yield from (function.__globals__[name] for name in names if name in function.__globals__)
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue


def _attributes(found: list[Any], names: set[str]) -> Iterator[Any]:
    """What of modules, classes and objects the code may reach by a name of its own."""
    for value in found:
        library = isinstance(value, ModuleType) and _of_library(value.__name__)
        if not library:
            inside = getattr(value, "__dict__", {})
            yield from (inside[name] for name in names if name in inside)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _of_library(name: str | None) -> bool:
    return (name or "").partition(".")[0] in _LIBRARIES
