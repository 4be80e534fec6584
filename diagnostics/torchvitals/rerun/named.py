"""Finds the user's functions by name, such as "package.module:function"."""

import importlib
import os
import sys
from typing import Any

from torch import nn

from torchvitals.core.errors import FieldError

FORM = "package.module:function"


def find(name: str, field: str) -> Any:
    """What is called so, searched from the current folder first. Raises `FieldError`."""
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise FieldError(field, name, f"a name of the form {FORM}")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:
        said = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise FieldError(field, name, f"{FORM} that can be imported; importing it raised {said}") from error
    return found


def model_of(name: str) -> nn.Module:
    """A model by that name, or what a function or class of that name makes without arguments."""
    found = find(name, "--model")
    if not isinstance(found, nn.Module):
        try:
            found = found()
        except Exception as error:
            said = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise FieldError("--model", name, f"a function without arguments; it raised {said}") from error
    if not isinstance(found, nn.Module):
        raise FieldError(
            "--model", name, f"a function that gives a torch.nn.Module, not {type(found).__name__}"
        )
    return found
