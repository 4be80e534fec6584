"""What all hooks on a user's modules have in common: copies of the model are not watched, and where compiled
code of the user leads to a hook it is not compiled with it.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch.utils.hooks import RemovableHandle

Hook = TypeVar("Hook", bound=Callable[..., Any])


class InertCopy:
    """A hook that, pickled or deep-copied with its module, becomes one that does nothing.

    Subclasses do nothing when they are built without arguments.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()


def forget(handles: list[RemovableHandle]) -> None:
    """Take hooks off again."""
    for handle in handles:
        handle.remove()
    handles.clear()


def uncompiled(hook: Hook) -> Hook:
    """What backward passes and optimizers call; these may be compiled, or run by code that is."""
    # Not `torch.compiler.disable`, which imports the compiler at once.
    return cast("Hook", torch._disable_dynamo(hook))  # pyright: ignore[reportPrivateImportUsage]
