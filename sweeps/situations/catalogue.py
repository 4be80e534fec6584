"""All situations, by name."""

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules

from sweeps.situations import blind, controls, faults
from sweeps.situations.situation import Situation, register


def situations() -> Mapping[str, Situation]:
    """All of them, in the order of their packages and files."""
    for package in (faults, controls, blind):
        for found in iter_modules(package.__path__):
            import_module(f"{package.__name__}.{found.name}")
    return register.situations
