"""Rules on thresholds: documented, with a default and a range that is enforced in words."""

import math
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field
from typing import Any

from torchvitals.catalogue import notes_of
from torchvitals.core.errors import FieldError
from torchvitals.core.protocols import Diagnostic
from torchvitals.testing.form import thresholds


def _have_defaults(cls: type[Diagnostic]) -> Iterator[str]:
    for field in thresholds(cls):
        if field.default is MISSING and field.default_factory is MISSING:
            yield f"the threshold {field.name} has no default."


def _are_documented(cls: type[Diagnostic]) -> Iterator[str]:
    notes = notes_of(cls)
    for field in thresholds(cls):
        if field.name in vars(cls) and not notes.get(field.name):
            yield f"the threshold {field.name} has no string under it that says its unit and range."


def _have_ranges(cls: type[Diagnostic]) -> Iterator[str]:
    names = [field.name for field in thresholds(cls)]
    for name in cls.ranges:
        if name not in names:
            yield f"ranges names {name!r}, which is no field."
    for field in _numeric(cls):
        if field.name not in cls.ranges:
            yield f"the threshold {field.name} has no entry in ranges."
        elif not _within(field.default, *cls.ranges[field.name]):
            low, high = cls.ranges[field.name]
            yield f"the default {field.name}={field.default!r} is outside of its range [{low}, {high}]."


def _keep_their_ranges(cls: type[Diagnostic]) -> Iterator[str]:
    for field in _numeric(cls):
        low, high = cls.ranges[field.name]
        for value in (low, high):
            error = _refusal(cls, field, type(field.default)(value))
            if error is not None:
                yield f"refuses {field.name}={value!r}, which is in its range: {error!r}."
        for value in (_beyond(low, -1), _beyond(high, 1), math.nan, "many", None):
            yield from _refuses(cls, field, value)


def _refuses(cls: type[Diagnostic], field: Field[Any], value: Any) -> Iterator[str]:
    error, (low, high) = _refusal(cls, field, value), cls.ranges[field.name]
    if error is None:
        yield f"takes {field.name}={value!r}, which is outside of its range [{low}, {high}]."
    elif not isinstance(error, FieldError):
        yield f"raises {error!r} and not a FieldError for {field.name}={value!r}."
    elif missing := [
        word for word in (field.name, repr(value), str(low), str(high)) if word not in str(error)
    ]:
        yield f"its error for {field.name}={value!r} does not name {' and '.join(missing)}: {error}"


def _refusal(cls: type[Diagnostic], field: Field[Any], value: Any) -> Exception | None:
    try:
        cls(**{field.name: value})
    except Exception as error:
        return error
    return None


def _within(value: Any, low: float, high: float) -> bool:
    return low <= value <= high


def _beyond(bound: float, direction: int) -> float:
    return bound + direction * max(1, abs(bound) / 1024)


def _numeric(cls: type[Diagnostic]) -> list[Field[Any]]:
    """Thresholds that are numbers; switches and words have no interval."""
    return [
        f for f in thresholds(cls) if isinstance(f.default, (int, float)) and not isinstance(f.default, bool)
    ]


THRESHOLDS: tuple[Callable[[Any], Iterator[str]], ...] = (
    _have_defaults,
    _are_documented,
    _have_ranges,
    _keep_their_ranges,
)
