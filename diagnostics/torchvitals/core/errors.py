"""Errors that say the thing, its value and the choices.

TorchvitalsError
|-- FieldError (ValueError)        a field was given a value it cannot take
|   `-- UnknownName                no diagnostic, probe or reporter has that name
|-- NameTaken                      two installed packages claim one name
|-- NothingToWatch (ValueError)    the model has no parameters
|-- MissingExtra (ImportError)     an optional dependency is not installed
`-- TrainingStopped                `stop_on` was asked for and an incident reached it
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


class TorchvitalsError(Exception):
    """Root of everything that torchvitals raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        # By the text alone: the processes of a sweep send errors to each other, and `__init__` wants more.
        return _again, (type(self), *self.args), self.__dict__ or None


def _again(cls: type[TorchvitalsError], *args: object) -> TorchvitalsError:
    return cls.__new__(cls, *args)


class FieldError(TorchvitalsError, ValueError):
    """A field was given a value that it cannot take."""

    def __init__(self, field: str, value: object, choices: str) -> None:
        super().__init__(f"{field}={value!r} is not possible. Give {choices}.")


class UnknownName(FieldError):
    """Nothing is registered under that name."""

    def __init__(self, noun: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        close = get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
        TorchvitalsError.__init__(self, f"Unknown {noun} {name!r}.{hint} Installed: {', '.join(names)}.")


class NameTaken(TorchvitalsError):
    """Two installed packages claim one name."""

    def __init__(self, noun: str, name: str, owners: Iterable[str]) -> None:
        super().__init__(f"The {noun} {name!r} is claimed by {' and by '.join(owners)}. Uninstall one.")


class NothingToWatch(TorchvitalsError, ValueError):
    """The model has no parameters."""


class MissingExtra(TorchvitalsError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f'{package} is not installed. Try: pip install "torchvitals[{extra}]"')


class TrainingStopped(TorchvitalsError):
    """The user asked to stop at this severity and an incident reached it."""
