"""What all hooks on a user's modules have in common: copies of the model are not watched."""

from typing import Any


class InertCopy:
    """A hook that, pickled or deep-copied with its module, becomes one that does nothing.

    Subclasses do nothing when they are built without arguments.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()
