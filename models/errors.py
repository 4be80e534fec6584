"""Without this file every constructor would word its complaint differently: one form for a wrong value."""

import difflib
import math
from collections.abc import Iterable


class InvalidValue(ValueError):
    """A value that its field cannot have; whoever knows the field by a longer name can say so."""

    field: str = ""
    value: object = None
    choices: str = ""
    problem: str = ""
    """all of the text but the field"""


def invalid(field: str, *, value: object, choices: str | Iterable[str]) -> InvalidValue:
    """The error for a wrong value: names the field, the value, a close match if any, and the choices."""
    problem = _problem(value, choices)
    error = InvalidValue(f"{field}: {problem}")
    error.field, error.value, error.problem = field, value, problem
    error.choices = choices if isinstance(choices, str) else ", ".join(sorted(choices))
    return error


def _problem(value: object, choices: str | Iterable[str]) -> str:
    if isinstance(choices, str):
        return f"{value!r} is not allowed. Choices: {choices}."
    known = sorted(choices)
    close = difflib.get_close_matches(str(value), known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"{value!r} is unknown.{hint} Choices: {', '.join(known)}."


def require_choice(field: str, *, value: str, choices: Iterable[str]) -> None:
    """Raise unless the value is one of the named choices."""
    known = tuple(choices)
    if value not in known:
        raise invalid(field, value=value, choices=known)


def require_count(field: str, *, value: int, minimum: int) -> None:
    """Raise unless the value is an integer of at least `minimum` (True and 3.0 are not integers)."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise invalid(field, value=value, choices=f"an integer of at least {minimum}")


def require_share(field: str, *, value: float) -> None:
    """Raise unless 0 <= value < 1."""
    if not 0 <= value < 1:
        raise invalid(field, value=value, choices="a number in [0, 1)")


def require_positive(field: str, *, value: float) -> None:
    """Raise unless the value is a finite number above 0."""
    if not (value > 0 and math.isfinite(value)):
        raise invalid(field, value=value, choices="a finite number above 0")


def require_finite(field: str, *, value: float) -> None:
    """Raise unless the value is a finite number."""
    if not math.isfinite(value):
        raise invalid(field, value=value, choices="a finite number")
